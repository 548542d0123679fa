#include "server/handlers.h"

namespace berth::server {

base::Result<cri::UpdatePodSandboxResourcesResponse> UpdatePodSandboxResources(
    Services& services, const cri::UpdatePodSandboxResourcesRequest& request, const base::Context&) {
  RETURN_IF_ERROR(services.sandboxes.UpdateResources(request.pod_sandbox_id(), request));
  return cri::UpdatePodSandboxResourcesResponse();
}

}  // namespace berth::server
