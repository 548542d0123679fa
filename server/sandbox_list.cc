#include "server/filter.h"
#include "server/handlers.h"

namespace berth::server {

base::Result<cri::ListPodSandboxResponse> ListPodSandbox(Services& services, const cri::ListPodSandboxRequest& request,
                                                         const base::Context&) {
  cri::ListPodSandboxResponse reply;
  const cri::PodSandboxFilter& filter = request.filter();
  for (const auto& sandbox : FilterSandboxes(services, filter.id(), filter.label_selector())) {
    const auto state = sandbox->state == sandbox::State::kReady ? cri::SANDBOX_READY : cri::SANDBOX_NOTREADY;
    const cri::PodSandboxConfig& config = *sandbox->config;
    if (filter.has_state() && filter.state().state() != state) continue;
    cri::PodSandbox& item = *reply.add_items();
    item.set_id(sandbox->id);
    *item.mutable_metadata() = config.metadata();
    item.set_state(state);
    item.set_created_at(sandbox->created_at);
    *item.mutable_labels() = config.labels();
    *item.mutable_annotations() = config.annotations();
    item.set_runtime_handler(sandbox->runtime_handler);
  }
  return reply;
}

}  // namespace berth::server
