#include "server/handlers.h"

namespace berth::server {

base::Result<cri::RemoveContainerResponse> RemoveContainer(Services& services,
                                                           const cri::RemoveContainerRequest& request,
                                                           const base::Context& context) {
  if (request.container_id().empty()) return base::Fail(base::Code::kInvalidArgument, "container_id is missing");
  RETURN_IF_ERROR(services.containers.Remove(request.container_id(), context));
  return cri::RemoveContainerResponse();
}

}  // namespace berth::server
