#include "server/container_state.h"
#include "server/filter.h"
#include "server/handlers.h"

namespace berth::server {

base::Result<cri::ListContainersResponse> ListContainers(Services& services, const cri::ListContainersRequest& request,
                                                         const base::Context&) {
  cri::ListContainersResponse reply;
  const cri::ContainerFilter& filter = request.filter();
  for (const auto& container :
       FilterContainers(services, filter.id(), filter.pod_sandbox_id(), filter.label_selector())) {
    const cri::ContainerConfig& config = *container->config;
    if (filter.has_state() && filter.state().state() != CriState(container->state)) continue;
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
