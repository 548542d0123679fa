#include <algorithm>
#include <chrono>

#include "server/handlers.h"

namespace berth::server {

base::Result<cri::ExecSyncResponse> ExecSync(Services& services, const cri::ExecSyncRequest& request,
                                             const base::Context& context) {
  if (request.timeout() < 0) return base::Fail(base::Code::kInvalidArgument, "timeout is negative");
  const auto timeout = std::chrono::seconds(std::min<int64_t>(request.timeout(), 365 * 24 * 3600));
  ASSIGN_OR_RETURN(container::ExecResult result,
                   services.containers.ExecSync(request.container_id(), {request.cmd().begin(), request.cmd().end()},
                                                timeout, context));
  cri::ExecSyncResponse reply;
  reply.set_exit_code(result.exit_code);
  reply.set_stdout(std::move(result.output));
  reply.set_stderr(std::move(result.errors));
  return reply;
}

}  // namespace berth::server
