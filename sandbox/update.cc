// UpdatePodSandboxResources.
#include "cri-proto/api.pb.h"
#include "sandbox/sandboxes.h"

namespace berth::sandbox {

base::Status Sandboxes::UpdateResources(const std::string& id, const cri::UpdatePodSandboxResourcesRequest& request) {
  ASSIGN_OR_RETURN(const auto found, Find(id));
  const auto change = [&](const Sandbox& old) -> base::Result<Sandbox> {
    Sandbox changed = old;
    auto config = std::make_shared<cri::PodSandboxConfig>(*old.config);
    if (request.has_overhead()) *config->mutable_linux()->mutable_overhead() = request.overhead();
    if (request.has_resources()) *config->mutable_linux()->mutable_resources() = request.resources();
    changed.config = std::move(config);
    return changed;
  };
  RETURN_IF_ERROR(store_.Update(found->id, change, state::Persist::kMust, base::Durability::kDurable));
  return {};
}

}  // namespace berth::sandbox
