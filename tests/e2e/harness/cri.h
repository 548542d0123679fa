// A CRI client as tests want it: one call, one line; requests shaped like a kubelet's.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "cri-proto/api.grpc.pb.h"

namespace berth::e2e {

namespace v1 = runtime::v1;

// What a call answered. `ok()` first, then the value.
template <typename T>
struct Reply {
  grpc::Status status;
  T value;

  bool ok() const { return status.ok(); }
  grpc::StatusCode code() const { return status.error_code(); }
  std::string message() const { return status.error_message(); }
  const T* operator->() const { return &value; }
  const T& operator*() const { return value; }
};

// Against hanging only, here and in the other limits of the harness: an emulated node takes 20 times as long.
inline constexpr std::chrono::seconds kCallLimit{240};

class Cri {
 public:
  explicit Cri(const base::Path& socket);

  // Any call: cri.Call(&v1::RuntimeService::Stub::Version, request).
  template <typename Request, typename Answer>
  Reply<Answer> Call(grpc::Status (v1::RuntimeService::Stub::*method)(grpc::ClientContext*, const Request&, Answer*),
                     const Request& request, std::chrono::milliseconds limit = kCallLimit) {
    return Make<Answer>([&](grpc::ClientContext* context,
                            Answer* answer) { return (runtime_.get()->*method)(context, request, answer); },
                        limit);
  }
  template <typename Request, typename Answer>
  Reply<Answer> Call(grpc::Status (v1::ImageService::Stub::*method)(grpc::ClientContext*, const Request&, Answer*),
                     const Request& request, std::chrono::milliseconds limit = kCallLimit) {
    return Make<Answer>(
        [&](grpc::ClientContext* context, Answer* answer) { return (image_.get()->*method)(context, request, answer); },
        limit);
  }

  Reply<v1::PullImageResponse> Pull(const std::string& image, std::chrono::milliseconds limit = kCallLimit);
  Reply<v1::RemoveImageResponse> RemoveImage(const std::string& image);
  Reply<v1::ImageStatusResponse> ImageStatus(const std::string& image);
  Reply<v1::ListImagesResponse> Images();

  Reply<v1::RunPodSandboxResponse> RunPod(const v1::PodSandboxConfig& config, const std::string& handler = {},
                                          std::chrono::milliseconds limit = kCallLimit);
  Reply<v1::StopPodSandboxResponse> StopPod(const std::string& pod, std::chrono::milliseconds limit = kCallLimit);
  Reply<v1::RemovePodSandboxResponse> RemovePod(const std::string& pod, std::chrono::milliseconds limit = kCallLimit);
  Reply<v1::PodSandboxStatusResponse> PodStatus(const std::string& pod);
  Reply<v1::ListPodSandboxResponse> Pods(const v1::PodSandboxFilter& filter = {});

  Reply<v1::CreateContainerResponse> Create(const std::string& pod, const v1::ContainerConfig& config,
                                            const v1::PodSandboxConfig& pod_config,
                                            std::chrono::milliseconds limit = kCallLimit);
  Reply<v1::StartContainerResponse> Start(const std::string& container);
  Reply<v1::StopContainerResponse> Stop(const std::string& container, int64_t grace_seconds,
                                        std::chrono::milliseconds limit = kCallLimit);
  Reply<v1::RemoveContainerResponse> Remove(const std::string& container);
  Reply<v1::ContainerStatusResponse> Status(const std::string& container);
  Reply<v1::ListContainersResponse> Containers(const v1::ContainerFilter& filter = {},
                                               std::chrono::milliseconds limit = kCallLimit);
  Reply<v1::ExecSyncResponse> Exec(const std::string& container, const std::vector<std::string>& command,
                                   int64_t timeout_seconds = 120);
  Reply<v1::ReopenContainerLogResponse> ReopenLog(const std::string& container);

 private:
  template <typename Answer, typename Fn>
  Reply<Answer> Make(Fn&& fn, std::chrono::milliseconds limit) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + limit);
    // A daemon that was just started is connected to anew instead of reported as gone.
    context.set_wait_for_ready(true);
    Reply<Answer> reply;
    reply.status = fn(&context, &reply.value);
    return reply;
  }

  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::RuntimeService::Stub> runtime_;
  std::unique_ptr<v1::ImageService::Stub> image_;
};

}  // namespace berth::e2e
