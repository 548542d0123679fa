#include "server/handlers.h"

namespace berth::server {

base::Result<cri::UpdateContainerResourcesResponse> UpdateContainerResources(
    Services& services, const cri::UpdateContainerResourcesRequest& request, const base::Context& context) {
  if (request.has_windows())
    return base::Fail(base::Code::kInvalidArgument, "windows: this node runs Linux containers");
  // "annotations may be ignored": they are for runtimes that keep more than cgroups.
  RETURN_IF_ERROR(services.containers.UpdateResources(request.container_id(), request.linux(), context));
  return cri::UpdateContainerResourcesResponse();
}

}  // namespace berth::server
