#include "server/handlers.h"

namespace berth::server {

base::Result<cri::RemovePodSandboxResponse> RemovePodSandbox(Services& services,
                                                             const cri::RemovePodSandboxRequest& request,
                                                             const base::Context& context) {
  if (request.pod_sandbox_id().empty()) return base::Fail(base::Code::kInvalidArgument, "pod_sandbox_id is missing");
  RETURN_IF_ERROR(services.sandboxes.Remove(request.pod_sandbox_id(), context));
  return cri::RemovePodSandboxResponse();
}

}  // namespace berth::server
