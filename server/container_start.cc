#include "server/handlers.h"

namespace berth::server {

base::Result<cri::StartContainerResponse> StartContainer(Services& services, const cri::StartContainerRequest& request,
                                                         const base::Context& context) {
  ASSIGN_OR_RETURN(const auto container, services.containers.Find(request.container_id()));
  ASSIGN_OR_RETURN(const auto sandbox, services.sandboxes.Find(container->sandbox_id));
  if (sandbox->state != sandbox::State::kReady) {
    return base::Fail(base::Code::kFailedPrecondition, "sandbox ", sandbox->id, " is not ready");
  }
  RETURN_IF_ERROR(services.containers.Start(container->id, context));
  return cri::StartContainerResponse();
}

}  // namespace berth::server
