#include "server/handlers.h"

namespace berth::server {

base::Result<cri::StopPodSandboxResponse> StopPodSandbox(Services& services, const cri::StopPodSandboxRequest& request,
                                                         const base::Context& context) {
  if (request.pod_sandbox_id().empty()) return base::Fail(base::Code::kInvalidArgument, "pod_sandbox_id is missing");
  RETURN_IF_ERROR(services.sandboxes.Stop(request.pod_sandbox_id(), context));
  return cri::StopPodSandboxResponse();
}

}  // namespace berth::server
