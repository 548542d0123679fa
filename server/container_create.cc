#include "server/handlers.h"
#include "server/image_spec.h"
#include "server/request_digest.h"

namespace berth::server {
namespace {

// The pod is as RunPodSandbox made it. What a caller sends of it again is the same, but for the folder of its logs,
// which belongs to what it asks for now.
container::Pod WithLogs(container::Pod pod, const cri::PodSandboxConfig& sent) {
  if (sent.log_directory().empty() || sent.log_directory() == pod.config->log_directory()) return pod;
  auto config = std::make_shared<cri::PodSandboxConfig>(*pod.config);
  config->set_log_directory(sent.log_directory());
  pod.config = std::move(config);
  return pod;
}

base::Status CheckImages(const Services& services, const cri::ContainerConfig& config) {
  RETURN_IF_ERROR(CheckImageSpec(services, config.image()), "config");
  for (const cri::Mount& mount : config.mounts()) {
    RETURN_IF_ERROR(CheckImageSpec(services, mount.image()), "mount ", mount.container_path());
  }
  return {};
}

}  // namespace

base::Result<cri::CreateContainerResponse> CreateContainer(Services& services,
                                                           const cri::CreateContainerRequest& request,
                                                           const base::Context& context) {
  if (!request.has_config()) return base::Fail(base::Code::kInvalidArgument, "config is missing");
  ASSIGN_OR_RETURN(const auto sandbox, services.sandboxes.Find(request.pod_sandbox_id()));
  ASSIGN_OR_RETURN(const container::Pod pod, services.sandboxes.PodOf(*sandbox));
  RETURN_IF_ERROR(CheckImages(services, request.config()));
  ASSIGN_OR_RETURN(std::string id, services.containers.Create(request.config(), WithLogs(pod, request.sandbox_config()),
                                                              RequestDigest(request), context));
  cri::CreateContainerResponse reply;
  reply.set_container_id(std::move(id));
  return reply;
}

}  // namespace berth::server
