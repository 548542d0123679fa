#include "base/time.h"
#include "server/filter.h"
#include "server/handlers.h"
#include "server/stats_reply.h"

namespace berth::server {

base::Result<cri::PodSandboxStatsResponse> PodSandboxStats(Services& services,
                                                           const cri::PodSandboxStatsRequest& request,
                                                           const base::Context&) {
  ASSIGN_OR_RETURN(const auto sandbox, services.sandboxes.Find(request.pod_sandbox_id()));
  cri::PodSandboxStatsResponse reply;
  RETURN_IF_ERROR(
      FillSandbox(services, *sandbox, FilterContainers(services, {}, sandbox->id, {}), *reply.mutable_stats()));
  if (sandbox->net_namespace.empty()) return reply;  // the host's interfaces are not the pod's
  const auto interfaces = stats::ReadInterfaces({sandbox->net_namespace});
  if (interfaces.front())
    FillNetwork(base::UnixNanos(), *interfaces.front(), *reply.mutable_stats()->mutable_linux()->mutable_network());
  return reply;
}

}  // namespace berth::server
