#include "server/handlers.h"
#include "server/request_digest.h"

namespace berth::server {

base::Result<cri::CreateContainerResponse> CreateContainer(Services& services, const cri::CreateContainerRequest& request,
                                                           const base::Context& context) {
  if (!request.has_config()) return base::Fail(base::Code::kInvalidArgument, "config is missing");
  ASSIGN_OR_RETURN(const auto sandbox, services.sandboxes.Find(request.pod_sandbox_id()));
  ASSIGN_OR_RETURN(const container::Pod pod, services.sandboxes.PodOf(*sandbox));
  ASSIGN_OR_RETURN(std::string id, services.containers.Create(request.config(), pod, RequestDigest(request), context));
  cri::CreateContainerResponse reply;
  reply.set_container_id(std::move(id));
  return reply;
}

}  // namespace berth::server
