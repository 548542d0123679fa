#include "server/handlers.h"

namespace berth::server {

base::Result<cri::PortForwardResponse> PortForward(Services& services, const cri::PortForwardRequest& request,
                                                   const base::Context&) {
  if (request.pod_sandbox_id().empty())
    return base::Fail(base::Code::kInvalidArgument, "missing required pod_sandbox_id");
  streaming::ForwardOrder order;
  for (const int32_t port : request.port()) {
    if (port < 1 || port > UINT16_MAX)
      return base::Fail(base::Code::kInvalidArgument, "port ", port, " is not in 1 to 65535");
    order.ports.push_back(static_cast<uint16_t>(port));
  }
  ASSIGN_OR_RETURN(const auto sandbox, services.sandboxes.Find(request.pod_sandbox_id()));
  if (sandbox->state != sandbox::State::kReady) {
    return base::Fail(base::Code::kFailedPrecondition, "sandbox ", sandbox->id, " is not ready");
  }
  order.pod = sandbox->id;
  cri::PortForwardResponse reply;
  ASSIGN_OR_RETURN(*reply.mutable_url(), services.streaming.UrlFor(std::move(order)));
  return reply;
}

}  // namespace berth::server
