// Readings of the kernel as the CRI API says them. What is absent there is left out here: a 0 would be a lie.
#pragma once

#include <vector>

#include "base/result.h"
#include "cri-proto/api.pb.h"
#include "cri-proto/cri.h"
#include "server/services.h"
#include "server/stats/interfaces.h"

namespace berth::server {

using ContainerList = std::vector<std::shared_ptr<const container::Container>>;
using Reading = stats::Collector::Reading;

// What a container keeps its changes to the image in.
inline base::Path WritableLayer(const Services& services, const std::string& id) {
  return services.config.state_root / "containers" / id / "upper";
}

void FillCpu(const Reading& reading, cri::CpuUsage& out);
void FillMemory(const stats::CgroupStats& stats, cri::MemoryUsage& out);
void FillIo(const stats::CgroupStats& stats, cri::IoUsage& out);
void FillNetwork(int64_t time, const std::vector<stats::InterfaceStats>& interfaces, cri::NetworkUsage& out);

// Attributes and the writable layer, and of one that runs all else. False when it does not run (any more).
bool FillContainer(Services& services, const container::Container& container, cri::ContainerStats& out);

// A pod that is ready, and those of its containers that run; its network comes with FillNetwork. kUnavailable when it
// is not ready.
base::Status FillSandbox(Services& services, const sandbox::Sandbox& sandbox, const ContainerList& containers,
                         cri::PodSandboxStats& out);

}  // namespace berth::server
