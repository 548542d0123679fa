// runtime.v1.RuntimeService: every method of the table.
#pragma once

#include "cri-proto/api.grpc.pb.h"
#include "cri-proto/cri.h"
#include "server/event_stream.h"
#include "server/executors.h"
#include "server/handlers.h"
#include "server/unary.h"

namespace berth::server {

class RuntimeService : public cri::RuntimeService::CallbackService {
 public:
  RuntimeService(Services& services, Executors& executors, const Telemetry& telemetry, Events& events,
                 boost::asio::io_context& loop)
      : services_(services), executors_(executors), telemetry_(telemetry), events_(events), loop_(loop) {}

#define BERTH_CALL(name)                                                                                  \
  grpc::ServerUnaryReactor* name(grpc::CallbackServerContext* context, const cri::name##Request* request, \
                                 cri::name##Response* reply) override
  BERTH_CALL(Version);
  BERTH_CALL(Status);
  BERTH_CALL(RuntimeConfig);
  BERTH_CALL(UpdateRuntimeConfig);
  BERTH_CALL(RunPodSandbox);
  BERTH_CALL(StopPodSandbox);
  BERTH_CALL(RemovePodSandbox);
  BERTH_CALL(PodSandboxStatus);
  BERTH_CALL(ListPodSandbox);
  BERTH_CALL(CreateContainer);
  BERTH_CALL(StartContainer);
  BERTH_CALL(StopContainer);
  BERTH_CALL(RemoveContainer);
  BERTH_CALL(ListContainers);
  BERTH_CALL(ContainerStatus);
  BERTH_CALL(ReopenContainerLog);
  BERTH_CALL(ExecSync);
  BERTH_CALL(Exec);
  BERTH_CALL(Attach);
  BERTH_CALL(PortForward);

  BERTH_CALL(UpdateContainerResources);
  BERTH_CALL(UpdatePodSandboxResources);
  BERTH_CALL(ContainerStats);
  BERTH_CALL(ListContainerStats);
  BERTH_CALL(PodSandboxStats);
  BERTH_CALL(ListPodSandboxStats);
  BERTH_CALL(CheckpointContainer);
  BERTH_CALL(CheckpointPod);
  BERTH_CALL(RestorePod);
  BERTH_CALL(ListMetricDescriptors);
  BERTH_CALL(ListPodSandboxMetrics);
#undef BERTH_CALL

#define BERTH_STREAM(name, request_type, reply_type)                                    \
  grpc::ServerWriteReactor<cri::reply_type>* name(grpc::CallbackServerContext* context, \
                                                  const cri::request_type* request) override
  BERTH_STREAM(StreamPodSandboxes, StreamPodSandboxesRequest, StreamPodSandboxesResponse);
  BERTH_STREAM(StreamContainers, StreamContainersRequest, StreamContainersResponse);
  BERTH_STREAM(StreamContainerStats, StreamContainerStatsRequest, StreamContainerStatsResponse);
  BERTH_STREAM(StreamPodSandboxStats, StreamPodSandboxStatsRequest, StreamPodSandboxStatsResponse);
  BERTH_STREAM(StreamPodSandboxMetrics, StreamPodSandboxMetricsRequest, StreamPodSandboxMetricsResponse);
  BERTH_STREAM(GetContainerEvents, GetEventsRequest, ContainerEventResponse);
#undef BERTH_STREAM

 private:
  Services& services_;
  Executors& executors_;
  const Telemetry telemetry_;
  Events& events_;
  boost::asio::io_context& loop_;
};

class ImageService : public cri::ImageService::CallbackService {
 public:
  ImageService(Services& services, Executors& executors, const Telemetry& telemetry)
      : services_(services), executors_(executors), telemetry_(telemetry) {}

#define BERTH_CALL(name)                                                                                  \
  grpc::ServerUnaryReactor* name(grpc::CallbackServerContext* context, const cri::name##Request* request, \
                                 cri::name##Response* reply) override
  BERTH_CALL(ListImages);
  BERTH_CALL(ImageStatus);
  BERTH_CALL(PullImage);
  BERTH_CALL(RemoveImage);
  BERTH_CALL(ImageFsInfo);
#undef BERTH_CALL
  grpc::ServerWriteReactor<cri::StreamImagesResponse>* StreamImages(grpc::CallbackServerContext* context,
                                                                    const cri::StreamImagesRequest* request) override;

 private:
  Services& services_;
  Executors& executors_;
  const Telemetry telemetry_;
};

}  // namespace berth::server
