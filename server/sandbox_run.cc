#include "server/handlers.h"
#include "server/request_digest.h"

namespace berth::server {

base::Result<cri::RunPodSandboxResponse> RunPodSandbox(Services& services, const cri::RunPodSandboxRequest& request,
                                                       const base::Context& context) {
  if (!request.has_config()) return base::Fail(base::Code::kInvalidArgument, "config is missing");
  ASSIGN_OR_RETURN(std::string id, services.sandboxes.Run(request.config(), request.runtime_handler(),
                                                          RequestDigest(request), context));
  cri::RunPodSandboxResponse reply;
  reply.set_pod_sandbox_id(std::move(id));
  return reply;
}

}  // namespace berth::server
