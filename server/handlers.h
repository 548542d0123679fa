// The calls that are answered, as plain functions: (services, request, context) -> reply. No gRPC here, so that all of
// it can be tested and run under TSan without. Each is in the file named for it. Those marked "snapshot" never wait and
// run on gRPC's own threads.
#pragma once

#include "base/context.h"
#include "base/result.h"
#include "cri-proto/api.pb.h"
#include "cri-proto/cri.h"
#include "server/services.h"

namespace berth::server {

#define BERTH_HANDLER(name) \
  base::Result<cri::name##Response> name(Services&, const cri::name##Request&, const base::Context&)

BERTH_HANDLER(Version);  // snapshot
BERTH_HANDLER(Status);
BERTH_HANDLER(RuntimeConfig);  // snapshot
BERTH_HANDLER(UpdateRuntimeConfig);

BERTH_HANDLER(RunPodSandbox);
BERTH_HANDLER(StopPodSandbox);
BERTH_HANDLER(RemovePodSandbox);
BERTH_HANDLER(UpdatePodSandboxResources);
BERTH_HANDLER(PodSandboxStatus);  // snapshot
BERTH_HANDLER(ListPodSandbox);    // snapshot

BERTH_HANDLER(CreateContainer);
BERTH_HANDLER(StartContainer);
BERTH_HANDLER(StopContainer);
BERTH_HANDLER(RemoveContainer);
BERTH_HANDLER(ListContainers);   // snapshot
BERTH_HANDLER(ContainerStatus);  // snapshot
BERTH_HANDLER(UpdateContainerResources);
BERTH_HANDLER(ReopenContainerLog);
BERTH_HANDLER(CheckpointContainer);
BERTH_HANDLER(ExecSync);
BERTH_HANDLER(Exec);         // snapshot
BERTH_HANDLER(Attach);       // snapshot
BERTH_HANDLER(PortForward);  // snapshot

BERTH_HANDLER(ContainerStats);
BERTH_HANDLER(ListContainerStats);
BERTH_HANDLER(PodSandboxStats);
BERTH_HANDLER(ListPodSandboxStats);
BERTH_HANDLER(ListMetricDescriptors);  // snapshot
BERTH_HANDLER(ListPodSandboxMetrics);

BERTH_HANDLER(ListImages);   // snapshot
BERTH_HANDLER(ImageStatus);  // snapshot
BERTH_HANDLER(PullImage);
BERTH_HANDLER(RemoveImage);
BERTH_HANDLER(ImageFsInfo);  // snapshot

#undef BERTH_HANDLER

// Every few seconds: a reading of everything, so that the use of processors is known to the first who asks, and what
// has gone is forgotten.
void SampleStats(Services& services);

}  // namespace berth::server
