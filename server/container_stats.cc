#include "server/handlers.h"
#include "server/stats_reply.h"

namespace berth::server {

base::Result<cri::ContainerStatsResponse> ContainerStats(Services& services, const cri::ContainerStatsRequest& request,
                                                         const base::Context&) {
  ASSIGN_OR_RETURN(const auto container, services.containers.Find(request.container_id()));
  cri::ContainerStatsResponse reply;
  // One that does not run is answered with its writable layer, which it keeps until it is removed.
  (void)FillContainer(services, *container, *reply.mutable_stats());
  return reply;
}

}  // namespace berth::server
