#include "server/runtime_service.h"

#include "server/list_stream.h"
#include "server/reply_size.h"

namespace berth::server {
namespace {

template <typename Request, typename Reply>
grpc::ServerUnaryReactor* Answer(Services& services, const Telemetry& telemetry, std::string_view method,
                                 base::Executor* executor,
                                 base::Result<Reply> (*handler)(Services&, const Request&, const base::Context&),
                                 grpc::CallbackServerContext* context, const Request* request, Reply* reply) {
  auto* call = new UnaryCall<Request, Reply>(*context, *request, reply, method, telemetry);
  call->Start(executor,
              [&services, handler, method](const Request& given, const base::Context& own) -> base::Result<Reply> {
                auto made = handler(services, given, own);
                // Told here, or else the log and the figures would say that all was well.
                if (made)
                  RETURN_IF_ERROR(FitsMessage(method, made->ByteSizeLong(), services.config.grpc.max_message.bytes));
                return made;
              });
  return call;
}

}  // namespace

#define BERTH_ANSWER(service, name, executor)                                                                      \
  grpc::ServerUnaryReactor* service::name(grpc::CallbackServerContext* context, const cri::name##Request* request, \
                                          cri::name##Response* reply) {                                            \
    return Answer(services_, telemetry_, #name, executor, &server::name, context, request, reply);                 \
  }
BERTH_ANSWER(RuntimeService, Version, nullptr)
BERTH_ANSWER(RuntimeService, Status, &executors_.query)
BERTH_ANSWER(RuntimeService, RuntimeConfig, nullptr)
BERTH_ANSWER(RuntimeService, UpdateRuntimeConfig, &executors_.query)
BERTH_ANSWER(RuntimeService, RunPodSandbox, &executors_.pods)
BERTH_ANSWER(RuntimeService, StopPodSandbox, &executors_.pod_ends)
BERTH_ANSWER(RuntimeService, RemovePodSandbox, &executors_.pod_ends)
BERTH_ANSWER(RuntimeService, PodSandboxStatus, nullptr)
BERTH_ANSWER(RuntimeService, ListPodSandbox, nullptr)
BERTH_ANSWER(RuntimeService, CreateContainer, &executors_.lifecycle)
BERTH_ANSWER(RuntimeService, StartContainer, &executors_.lifecycle)
BERTH_ANSWER(RuntimeService, StopContainer, &executors_.waiters)
BERTH_ANSWER(RuntimeService, RemoveContainer, &executors_.lifecycle)
BERTH_ANSWER(RuntimeService, ListContainers, nullptr)
BERTH_ANSWER(RuntimeService, ContainerStatus, nullptr)
BERTH_ANSWER(RuntimeService, UpdateContainerResources, &executors_.lifecycle)
BERTH_ANSWER(RuntimeService, UpdatePodSandboxResources, &executors_.query)
BERTH_ANSWER(RuntimeService, ReopenContainerLog, &executors_.query)
BERTH_ANSWER(RuntimeService, CheckpointContainer, &executors_.lifecycle)
BERTH_ANSWER(RuntimeService, ExecSync, &executors_.exec)
BERTH_ANSWER(RuntimeService, Exec, nullptr)
BERTH_ANSWER(RuntimeService, Attach, nullptr)
BERTH_ANSWER(RuntimeService, PortForward, nullptr)
BERTH_ANSWER(RuntimeService, ContainerStats, &executors_.query)
BERTH_ANSWER(RuntimeService, ListContainerStats, &executors_.query)
BERTH_ANSWER(RuntimeService, PodSandboxStats, &executors_.query)
BERTH_ANSWER(RuntimeService, ListPodSandboxStats, &executors_.query)
BERTH_ANSWER(RuntimeService, ListMetricDescriptors, nullptr)
BERTH_ANSWER(RuntimeService, ListPodSandboxMetrics, &executors_.query)
BERTH_ANSWER(ImageService, ListImages, nullptr)
BERTH_ANSWER(ImageService, ImageStatus, nullptr)
BERTH_ANSWER(ImageService, PullImage, &executors_.pull)
BERTH_ANSWER(ImageService, RemoveImage, &executors_.removal)
BERTH_ANSWER(ImageService, ImageFsInfo, nullptr)
#undef BERTH_ANSWER

#define BERTH_UNIMPLEMENTED(name)                                                                                 \
  grpc::ServerUnaryReactor* RuntimeService::name(grpc::CallbackServerContext* context,                            \
                                                 const cri::name##Request* request, cri::name##Response* reply) { \
    const auto refuse =                                                                                           \
        [](Services&, const cri::name##Request&, const base::Context&) -> base::Result<cri::name##Response> {     \
      return base::Fail(base::Code::kUnimplemented, #name, " is not implemented by berth ", BERTH_VERSION);       \
    };                                                                                                            \
    return Answer(services_, telemetry_, #name, nullptr, +refuse, context, request, reply);                       \
  }
BERTH_UNIMPLEMENTED(CheckpointPod)
BERTH_UNIMPLEMENTED(RestorePod)
#undef BERTH_UNIMPLEMENTED

// `items` and `field`: where the items are in the list's answer and in a message of the stream.
#define BERTH_STREAM_LIST(service, name, list, items, field, executor)                                         \
  grpc::ServerWriteReactor<cri::name##Response>* service::name(grpc::CallbackServerContext* context,           \
                                                               const cri::name##Request* request) {            \
    auto* call = new ListStream(*context, *request, &cri::list##Request::default_instance(),                   \
                                &cri::list##Response::mutable_##items, &cri::name##Response::mutable_##field,  \
                                CallLog(#name, telemetry_, CallerOf(*context)));                               \
    call->Start(executor, [&services = services_](const cri::list##Request& given, const base::Context& own) { \
      return server::list(services, given, own);                                                               \
    });                                                                                                        \
    return call;                                                                                               \
  }
BERTH_STREAM_LIST(RuntimeService, StreamPodSandboxes, ListPodSandbox, items, pod_sandboxes, nullptr)
BERTH_STREAM_LIST(RuntimeService, StreamContainers, ListContainers, containers, containers, nullptr)
BERTH_STREAM_LIST(RuntimeService, StreamContainerStats, ListContainerStats, stats, container_stats, &executors_.query)
BERTH_STREAM_LIST(RuntimeService, StreamPodSandboxStats, ListPodSandboxStats, stats, pod_sandbox_stats,
                  &executors_.query)
BERTH_STREAM_LIST(RuntimeService, StreamPodSandboxMetrics, ListPodSandboxMetrics, pod_metrics, pod_sandbox_metrics,
                  &executors_.query)
BERTH_STREAM_LIST(ImageService, StreamImages, ListImages, images, images, nullptr)
#undef BERTH_STREAM_LIST

grpc::ServerWriteReactor<cri::ContainerEventResponse>* RuntimeService::GetContainerEvents(
    grpc::CallbackServerContext* context, const cri::GetEventsRequest*) {
  return new EventStream(events_, loop_, CallLog("GetContainerEvents", telemetry_, CallerOf(*context)));
}

}  // namespace berth::server
