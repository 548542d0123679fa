#include "server/filter.h"
#include "server/handlers.h"
#include "server/stats_reply.h"

namespace berth::server {

base::Result<cri::ListContainerStatsResponse> ListContainerStats(Services& services,
                                                                 const cri::ListContainerStatsRequest& request,
                                                                 const base::Context& context) {
  cri::ListContainerStatsResponse reply;
  const cri::ContainerStatsFilter& filter = request.filter();
  for (const auto& container :
       FilterContainers(services, filter.id(), filter.pod_sandbox_id(), filter.label_selector())) {
    if (container->state != container::State::kRunning) continue;
    RETURN_IF_ERROR(context.Check("ListContainerStats"));
    // "a container vanishing during the call is skipped"
    if (!FillContainer(services, *container, *reply.add_stats())) reply.mutable_stats()->RemoveLast();
  }
  return reply;
}

}  // namespace berth::server
