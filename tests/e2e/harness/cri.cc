#include "tests/e2e/harness/cri.h"

namespace berth::e2e {
namespace {

using Runtime = v1::RuntimeService::Stub;
using Image = v1::ImageService::Stub;
using std::chrono::milliseconds;

}  // namespace

Cri::Cri(const base::Path& socket) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(16 << 20);  // as the kubelet's
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 20);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 20);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  channel_ = grpc::CreateCustomChannel("unix:" + socket.string(), grpc::InsecureChannelCredentials(), arguments);
  runtime_ = v1::RuntimeService::NewStub(channel_);
  image_ = v1::ImageService::NewStub(channel_);
}

Reply<v1::PullImageResponse> Cri::Pull(const std::string& image, milliseconds limit) {
  v1::PullImageRequest request;
  request.mutable_image()->set_image(image);
  return Call(&Image::PullImage, request, limit);
}

Reply<v1::RemoveImageResponse> Cri::RemoveImage(const std::string& image) {
  v1::RemoveImageRequest request;
  request.mutable_image()->set_image(image);
  return Call(&Image::RemoveImage, request);
}

Reply<v1::ImageStatusResponse> Cri::ImageStatus(const std::string& image) {
  v1::ImageStatusRequest request;
  request.mutable_image()->set_image(image);
  return Call(&Image::ImageStatus, request);
}

Reply<v1::ListImagesResponse> Cri::Images() {
  return Call(&Image::ListImages, v1::ListImagesRequest());
}

Reply<v1::RunPodSandboxResponse> Cri::RunPod(const v1::PodSandboxConfig& config, const std::string& handler,
                                             milliseconds limit) {
  v1::RunPodSandboxRequest request;
  *request.mutable_config() = config;
  request.set_runtime_handler(handler);
  return Call(&Runtime::RunPodSandbox, request, limit);
}

Reply<v1::StopPodSandboxResponse> Cri::StopPod(const std::string& pod, milliseconds limit) {
  v1::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(pod);
  return Call(&Runtime::StopPodSandbox, request, limit);
}

Reply<v1::RemovePodSandboxResponse> Cri::RemovePod(const std::string& pod, milliseconds limit) {
  v1::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(pod);
  return Call(&Runtime::RemovePodSandbox, request, limit);
}

Reply<v1::PodSandboxStatusResponse> Cri::PodStatus(const std::string& pod) {
  v1::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod);
  return Call(&Runtime::PodSandboxStatus, request);
}

Reply<v1::ListPodSandboxResponse> Cri::Pods(const v1::PodSandboxFilter& filter) {
  v1::ListPodSandboxRequest request;
  *request.mutable_filter() = filter;
  return Call(&Runtime::ListPodSandbox, request);
}

Reply<v1::CreateContainerResponse> Cri::Create(const std::string& pod, const v1::ContainerConfig& config,
                                               const v1::PodSandboxConfig& pod_config, milliseconds limit) {
  v1::CreateContainerRequest request;
  request.set_pod_sandbox_id(pod);
  *request.mutable_config() = config;
  *request.mutable_sandbox_config() = pod_config;
  return Call(&Runtime::CreateContainer, request, limit);
}

Reply<v1::StartContainerResponse> Cri::Start(const std::string& container) {
  v1::StartContainerRequest request;
  request.set_container_id(container);
  return Call(&Runtime::StartContainer, request);
}

Reply<v1::StopContainerResponse> Cri::Stop(const std::string& container, int64_t grace_seconds, milliseconds limit) {
  v1::StopContainerRequest request;
  request.set_container_id(container);
  request.set_timeout(grace_seconds);
  return Call(&Runtime::StopContainer, request, limit);
}

Reply<v1::RemoveContainerResponse> Cri::Remove(const std::string& container) {
  v1::RemoveContainerRequest request;
  request.set_container_id(container);
  return Call(&Runtime::RemoveContainer, request);
}

Reply<v1::ContainerStatusResponse> Cri::Status(const std::string& container) {
  v1::ContainerStatusRequest request;
  request.set_container_id(container);
  return Call(&Runtime::ContainerStatus, request);
}

Reply<v1::ListContainersResponse> Cri::Containers(const v1::ContainerFilter& filter, milliseconds limit) {
  v1::ListContainersRequest request;
  *request.mutable_filter() = filter;
  return Call(&Runtime::ListContainers, request, limit);
}

Reply<v1::ExecSyncResponse> Cri::Exec(const std::string& container, const std::vector<std::string>& command,
                                      int64_t timeout_seconds) {
  v1::ExecSyncRequest request;
  request.set_container_id(container);
  request.mutable_cmd()->Assign(command.begin(), command.end());
  request.set_timeout(timeout_seconds);
  return Call(&Runtime::ExecSync, request);
}

Reply<v1::ReopenContainerLogResponse> Cri::ReopenLog(const std::string& container) {
  v1::ReopenContainerLogRequest request;
  request.set_container_id(container);
  return Call(&Runtime::ReopenContainerLog, request);
}

}  // namespace berth::e2e
