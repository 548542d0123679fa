// The client's side of the daemon's socket. The only place of cli/ that knows gRPC.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/context.h"
#include "base/result.h"
#include "cri-proto/api.pb.h"
#include "cri-proto/berth.pb.h"

namespace berth::cli {

namespace cri = ::runtime::v1;

// Calls block until the answer is there, the context ends, or `timeout` has passed. Errors have the daemon's own text
// and code; kUnavailable also stands for a daemon that cannot be reached. Thread-safe.
class Client {
 public:
  struct Options {
    std::string socket = "unix:///run/berth/berth.sock";
    std::chrono::seconds timeout{60};  // of each call that is not said to wait for longer; 0: none
  };
  explicit Client(Options options);
  ~Client();

  const std::string& socket() const { return options_.socket; }

  base::Result<cri::VersionResponse> Version(const base::Context& context);
  base::Result<cri::StatusResponse> Status(bool verbose, const base::Context& context);

  base::Result<cri::RunPodSandboxResponse> RunPodSandbox(const cri::RunPodSandboxRequest& request,
                                                         const base::Context& context);
  base::Status StopPodSandbox(const std::string& id, const base::Context& context);
  base::Status RemovePodSandbox(const std::string& id, const base::Context& context);
  base::Result<cri::PodSandboxStatusResponse> PodSandboxStatus(const std::string& id, bool verbose,
                                                               const base::Context& context);
  base::Result<cri::ListPodSandboxResponse> ListPodSandbox(const base::Context& context);

  base::Result<cri::CreateContainerResponse> CreateContainer(const cri::CreateContainerRequest& request,
                                                             const base::Context& context);
  base::Status StartContainer(const std::string& id, const base::Context& context);
  // Waits for the grace period on top of the timeout.
  base::Status StopContainer(const std::string& id, std::chrono::seconds grace, const base::Context& context);
  base::Status RemoveContainer(const std::string& id, const base::Context& context);
  base::Result<cri::ContainerStatusResponse> ContainerStatus(const std::string& id, bool verbose,
                                                             const base::Context& context);
  base::Result<cri::ListContainersResponse> ListContainers(const base::Context& context);
  // Waits as long as the command runs; request.timeout() is the daemon's to keep.
  base::Result<cri::ExecSyncResponse> ExecSync(const cri::ExecSyncRequest& request, const base::Context& context);

  // URLs to be used once and soon (RunRemote, port-forward).
  base::Result<std::string> Exec(const cri::ExecRequest& request, const base::Context& context);
  base::Result<std::string> Attach(const cri::AttachRequest& request, const base::Context& context);
  base::Result<std::string> PortForward(const std::string& pod_id, const base::Context& context);

  base::Result<cri::ListImagesResponse> ListImages(const base::Context& context);
  base::Result<cri::ImageStatusResponse> ImageStatus(const std::string& reference, bool verbose,
                                                     const base::Context& context);
  // Waits as long as the pull takes.
  base::Result<cri::PullImageResponse> PullImage(const cri::PullImageRequest& request, const base::Context& context);
  base::Status RemoveImage(const std::string& reference, const base::Context& context);
  // Waits as long as it takes. The path is the daemon's to open.
  base::Result<v1::LoadImagesResponse> LoadImages(const std::string& path, const base::Context& context);
  base::Result<v1::CheckImagesResponse> CheckImages(const v1::CheckImagesRequest& request,
                                                    const base::Context& context);
  base::Result<v1::ListPullsResponse> ListPulls(const base::Context& context);
  base::Result<v1::SetLogLevelResponse> SetLogLevel(const std::string& level, const base::Context& context);

  // Gives the events of a pull to `observe`, on a thread of its own, until it is destroyed. A daemon that does not know
  // the call is the same as one without events.
  class PullEvents {
   public:
    virtual ~PullEvents() = default;
  };
  std::unique_ptr<PullEvents> FollowPull(const std::string& reference,
                                         std::function<void(const v1::PullProgressEvent&)> observe);

 private:
  struct Connection;
  class Subscription;
  template <typename Reply, typename Start>
  base::Result<Reply> Call(Start&& start, const base::Context& context);

  const Options options_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace berth::cli
