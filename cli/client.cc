#include "cli/client.h"

#include <grpcpp/grpcpp.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <future>
#include <thread>

#include "base/unique_fd.h"
#include "cri-proto/api.grpc.pb.h"
#include "cri-proto/berth.grpc.pb.h"

namespace berth::cli {
namespace {

base::Code FromGrpc(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::INVALID_ARGUMENT:
      return base::Code::kInvalidArgument;
    case grpc::StatusCode::NOT_FOUND:
      return base::Code::kNotFound;
    case grpc::StatusCode::ALREADY_EXISTS:
      return base::Code::kAlreadyExists;
    case grpc::StatusCode::FAILED_PRECONDITION:
      return base::Code::kFailedPrecondition;
    case grpc::StatusCode::UNAUTHENTICATED:
      return base::Code::kUnauthenticated;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return base::Code::kResourceExhausted;
    case grpc::StatusCode::UNAVAILABLE:
      return base::Code::kUnavailable;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return base::Code::kDeadlineExceeded;
    case grpc::StatusCode::CANCELLED:
      return base::Code::kCancelled;
    case grpc::StatusCode::UNIMPLEMENTED:
      return base::Code::kUnimplemented;
    case grpc::StatusCode::INTERNAL:
      return base::Code::kInternal;
    default:
      return base::Code::kUnknown;
  }
}

std::shared_ptr<grpc::Channel> Connect(const std::string& socket) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  // Without it the authority is the percent-encoded path, which servers may refuse.
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  return grpc::CreateCustomChannel(socket, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

struct Client::Connection {
  explicit Connection(const std::string& socket)
      : channel(Connect(socket)),
        runtime(cri::RuntimeService::NewStub(channel)),
        images(cri::ImageService::NewStub(channel)),
        berth(v1::Berth::NewStub(channel)) {}

  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<cri::RuntimeService::Stub> runtime;
  std::unique_ptr<cri::ImageService::Stub> images;
  std::unique_ptr<v1::Berth::Stub> berth;
};

Client::Client(Options options)
    : options_(std::move(options)), connection_(std::make_unique<Connection>(options_.socket)) {}
Client::~Client() = default;

// `start(context, reply, done)` begins the call. Waiting is ours, so that our context can end it.
template <typename Reply, typename Start>
base::Result<Reply> Client::Call(Start&& start, const base::Context& context) {
  const base::UniqueFd ended(eventfd(0, EFD_CLOEXEC));
  if (!ended) return base::FailErrno(errno, "eventfd");
  grpc::ClientContext call;
  Reply reply;
  std::promise<grpc::Status> promise;
  std::future<grpc::Status> status = promise.get_future();
  start(&call, &reply, [&promise, fd = ended.get()](const grpc::Status& result) {
    promise.set_value(result);
    eventfd_write(fd, 1);
  });
  auto waited = context.Wait(ended.get(), POLLIN, "answer of the daemon");
  if (!waited) call.TryCancel();
  const grpc::Status result = status.get();
  // set_value wakes us before the descriptor is written; it may be closed only after that.
  eventfd_t value = 0;
  eventfd_read(ended.get(), &value);
  if (!waited) return tl::make_unexpected(std::move(waited).error());
  if (result.ok()) return reply;
  return base::Fail(FromGrpc(result.error_code()), result.error_message());
}

namespace {

base::Context Limited(const base::Context& context, std::chrono::seconds timeout) {
  return timeout.count() > 0 ? context.WithTimeout(timeout) : context;
}

template <typename Reply>
base::Status Ignore(base::Result<Reply> result) {
  if (!result) return tl::make_unexpected(std::move(result).error());
  return {};
}

}  // namespace

// One call of a service: the stub's method of that name, with what the generated code wants around it.
#define BERTH_CALL(stub, Method, request, context)                                                                    \
  Call<cri::Method##Response>(                                                                                        \
      [&](auto* call, auto* reply, auto done) { connection_->stub->async()->Method(call, &(request), reply, done); }, \
      context)

base::Result<cri::VersionResponse> Client::Version(const base::Context& context) {
  const cri::VersionRequest request;
  return BERTH_CALL(runtime, Version, request, Limited(context, options_.timeout));
}

base::Result<cri::StatusResponse> Client::Status(bool verbose, const base::Context& context) {
  cri::StatusRequest request;
  request.set_verbose(verbose);
  return BERTH_CALL(runtime, Status, request, Limited(context, options_.timeout));
}

base::Result<cri::RunPodSandboxResponse> Client::RunPodSandbox(const cri::RunPodSandboxRequest& request,
                                                               const base::Context& context) {
  return BERTH_CALL(runtime, RunPodSandbox, request, Limited(context, options_.timeout));
}

base::Status Client::StopPodSandbox(const std::string& id, const base::Context& context) {
  cri::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  return Ignore(BERTH_CALL(runtime, StopPodSandbox, request, Limited(context, options_.timeout)));
}

base::Status Client::RemovePodSandbox(const std::string& id, const base::Context& context) {
  cri::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  return Ignore(BERTH_CALL(runtime, RemovePodSandbox, request, Limited(context, options_.timeout)));
}

base::Result<cri::PodSandboxStatusResponse> Client::PodSandboxStatus(const std::string& id, bool verbose,
                                                                     const base::Context& context) {
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(id);
  request.set_verbose(verbose);
  return BERTH_CALL(runtime, PodSandboxStatus, request, Limited(context, options_.timeout));
}

base::Result<cri::ListPodSandboxResponse> Client::ListPodSandbox(const base::Context& context) {
  const cri::ListPodSandboxRequest request;
  return BERTH_CALL(runtime, ListPodSandbox, request, Limited(context, options_.timeout));
}

base::Result<cri::CreateContainerResponse> Client::CreateContainer(const cri::CreateContainerRequest& request,
                                                                   const base::Context& context) {
  return BERTH_CALL(runtime, CreateContainer, request, Limited(context, options_.timeout));
}

base::Status Client::StartContainer(const std::string& id, const base::Context& context) {
  cri::StartContainerRequest request;
  request.set_container_id(id);
  return Ignore(BERTH_CALL(runtime, StartContainer, request, Limited(context, options_.timeout)));
}

base::Status Client::StopContainer(const std::string& id, std::chrono::seconds grace, const base::Context& context) {
  cri::StopContainerRequest request;
  request.set_container_id(id);
  request.set_timeout(grace.count());
  const auto timeout = options_.timeout.count() > 0 ? options_.timeout + grace : options_.timeout;
  return Ignore(BERTH_CALL(runtime, StopContainer, request, Limited(context, timeout)));
}

base::Status Client::RemoveContainer(const std::string& id, const base::Context& context) {
  cri::RemoveContainerRequest request;
  request.set_container_id(id);
  return Ignore(BERTH_CALL(runtime, RemoveContainer, request, Limited(context, options_.timeout)));
}

base::Result<cri::ContainerStatusResponse> Client::ContainerStatus(const std::string& id, bool verbose,
                                                                   const base::Context& context) {
  cri::ContainerStatusRequest request;
  request.set_container_id(id);
  request.set_verbose(verbose);
  return BERTH_CALL(runtime, ContainerStatus, request, Limited(context, options_.timeout));
}

base::Result<cri::ListContainersResponse> Client::ListContainers(const base::Context& context) {
  const cri::ListContainersRequest request;
  return BERTH_CALL(runtime, ListContainers, request, Limited(context, options_.timeout));
}

base::Result<cri::ExecSyncResponse> Client::ExecSync(const cri::ExecSyncRequest& request,
                                                     const base::Context& context) {
  return BERTH_CALL(runtime, ExecSync, request, context);
}

base::Result<std::string> Client::Exec(const cri::ExecRequest& request, const base::Context& context) {
  ASSIGN_OR_RETURN(const cri::ExecResponse reply,
                   BERTH_CALL(runtime, Exec, request, Limited(context, options_.timeout)));
  return reply.url();
}

base::Result<std::string> Client::Attach(const cri::AttachRequest& request, const base::Context& context) {
  ASSIGN_OR_RETURN(const cri::AttachResponse reply,
                   BERTH_CALL(runtime, Attach, request, Limited(context, options_.timeout)));
  return reply.url();
}

base::Result<std::string> Client::PortForward(const std::string& pod_id, const base::Context& context) {
  cri::PortForwardRequest request;
  request.set_pod_sandbox_id(pod_id);
  ASSIGN_OR_RETURN(const cri::PortForwardResponse reply,
                   BERTH_CALL(runtime, PortForward, request, Limited(context, options_.timeout)));
  return reply.url();
}

base::Result<cri::ListImagesResponse> Client::ListImages(const base::Context& context) {
  const cri::ListImagesRequest request;
  return BERTH_CALL(images, ListImages, request, Limited(context, options_.timeout));
}

base::Result<cri::ImageStatusResponse> Client::ImageStatus(const std::string& reference, bool verbose,
                                                           const base::Context& context) {
  cri::ImageStatusRequest request;
  request.mutable_image()->set_image(reference);
  request.set_verbose(verbose);
  return BERTH_CALL(images, ImageStatus, request, Limited(context, options_.timeout));
}

base::Result<cri::PullImageResponse> Client::PullImage(const cri::PullImageRequest& request,
                                                       const base::Context& context) {
  return BERTH_CALL(images, PullImage, request, context);
}

base::Status Client::RemoveImage(const std::string& reference, const base::Context& context) {
  cri::RemoveImageRequest request;
  request.mutable_image()->set_image(reference);
  return Ignore(BERTH_CALL(images, RemoveImage, request, Limited(context, options_.timeout)));
}

base::Result<v1::LoadImagesResponse> Client::LoadImages(const std::string& path, const base::Context& context) {
  v1::LoadImagesRequest request;
  request.set_path(path);
  return Call<v1::LoadImagesResponse>(
      [&](auto* call, auto* reply, auto done) { connection_->berth->async()->LoadImages(call, &request, reply, done); },
      context);
}

base::Result<v1::CheckImagesResponse> Client::CheckImages(const v1::CheckImagesRequest& request,
                                                          const base::Context& context) {
  return Call<v1::CheckImagesResponse>(
      [&](auto* call, auto* reply, auto done) {
        connection_->berth->async()->CheckImages(call, &request, reply, done);
      },
      context);
}

base::Result<v1::ListPullsResponse> Client::ListPulls(const base::Context& context) {
  const v1::ListPullsRequest request;
  return Call<v1::ListPullsResponse>(
      [&](auto* call, auto* reply, auto done) { connection_->berth->async()->ListPulls(call, &request, reply, done); },
      Limited(context, options_.timeout));
}

base::Result<v1::SetLogLevelResponse> Client::SetLogLevel(const std::string& level, const base::Context& context) {
  v1::SetLogLevelRequest request;
  request.set_level(level);
  return Call<v1::SetLogLevelResponse>(
      [&](auto* call, auto* reply, auto done) {
        connection_->berth->async()->SetLogLevel(call, &request, reply, done);
      },
      Limited(context, options_.timeout));
}

#undef BERTH_CALL

class Client::Subscription : public Client::PullEvents {
 public:
  Subscription(v1::Berth::Stub& stub, const std::string& reference,
               std::function<void(const v1::PullProgressEvent&)> observe) {
    v1::PullProgressRequest request;
    request.set_reference(reference);
    reader_ = stub.PullProgress(&call_, request);
    thread_ = std::thread([this, observe = std::move(observe)] {
      v1::PullProgressEvent event;
      while (reader_->Read(&event)) observe(event);
    });
  }
  ~Subscription() override {
    call_.TryCancel();
    thread_.join();
    (void)reader_->Finish();
  }

 private:
  grpc::ClientContext call_;
  std::unique_ptr<grpc::ClientReader<v1::PullProgressEvent>> reader_;
  std::thread thread_;
};

std::unique_ptr<Client::PullEvents> Client::FollowPull(const std::string& reference,
                                                       std::function<void(const v1::PullProgressEvent&)> observe) {
  return std::make_unique<Subscription>(*connection_->berth, reference, std::move(observe));
}

}  // namespace berth::cli
