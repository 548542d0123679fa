#include <algorithm>

#include "server/container_state.h"
#include "server/filter.h"
#include "server/handlers.h"

namespace berth::server {

base::Result<cri::ListContainersResponse> ListContainers(Services& services, const cri::ListContainersRequest& request,
                                                         const base::Context&) {
  cri::ListContainersResponse reply;
  const cri::ContainerFilter& filter = request.filter();
  auto all = services.containers.List();
  if (!filter.id().empty()) {
    const auto found = services.containers.Find(filter.id());
    all.clear();
    if (found) all.push_back(*found);
  }
  std::string sandbox_id;
  if (!filter.pod_sandbox_id().empty()) {
    const auto sandbox = services.sandboxes.Find(filter.pod_sandbox_id());
    if (!sandbox) return reply;
    sandbox_id = (*sandbox)->id;
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a->created_at > b->created_at; });
  for (const auto& container : all) {
    const cri::ContainerConfig& config = *container->config;
    if (!sandbox_id.empty() && container->sandbox_id != sandbox_id) continue;
    if (filter.has_state() && filter.state().state() != CriState(container->state)) continue;
    if (!HasLabels(config.labels(), filter.label_selector())) continue;
    cri::Container& item = *reply.add_containers();
    item.set_id(container->id);
    item.set_pod_sandbox_id(container->sandbox_id);
    *item.mutable_metadata() = config.metadata();
    *item.mutable_image() = config.image();
    item.set_image_ref(container->image_ref);
    item.set_image_id(container->image_id);
    item.set_state(CriState(container->state));
    item.set_created_at(container->created_at);
    *item.mutable_labels() = config.labels();
    *item.mutable_annotations() = config.annotations();
  }
  return reply;
}

}  // namespace berth::server
