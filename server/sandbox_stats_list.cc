#include <map>

#include "base/time.h"
#include "server/filter.h"
#include "server/handlers.h"
#include "server/stats_reply.h"

namespace berth::server {

base::Result<cri::ListPodSandboxStatsResponse> ListPodSandboxStats(Services& services,
                                                                   const cri::ListPodSandboxStatsRequest& request,
                                                                   const base::Context& context) {
  cri::ListPodSandboxStatsResponse reply;
  std::map<std::string, ContainerList> containers;  // by sandbox
  for (auto& container : FilterContainers(services, {}, {}, {})) containers[container->sandbox_id].push_back(container);
  std::vector<base::Path> namespaces;
  std::vector<cri::LinuxPodSandboxStats*> networked;  // theirs, in that order
  for (const auto& sandbox : FilterSandboxes(services, request.filter().id(), request.filter().label_selector())) {
    RETURN_IF_ERROR(context.Check("ListPodSandboxStats"));
    cri::PodSandboxStats& item = *reply.add_stats();
    if (!FillSandbox(services, *sandbox, containers[sandbox->id], item)) {
      reply.mutable_stats()->RemoveLast();
    } else if (!sandbox->net_namespace.empty()) {
      namespaces.push_back(sandbox->net_namespace);
      networked.push_back(item.mutable_linux());
    }
  }
  const auto interfaces = stats::ReadInterfaces(namespaces);
  const int64_t now = base::UnixNanos();
  for (size_t i = 0; i < networked.size(); ++i) {
    if (interfaces[i]) FillNetwork(now, *interfaces[i], *networked[i]->mutable_network());
  }
  return reply;
}

}  // namespace berth::server
