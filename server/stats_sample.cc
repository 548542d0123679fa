#include <set>

#include "server/handlers.h"

namespace berth::server {

void SampleStats(Services& services) {
  std::set<std::string> known;
  for (const auto& container : services.containers.List()) {
    known.insert(container->id);
    if (container->state == container::State::kRunning) services.stats.Sample(container->id, container->cgroups_path);
  }
  for (const auto& sandbox : services.sandboxes.List()) {
    if (sandbox->state != sandbox::State::kReady) continue;
    known.insert(sandbox->id);
    services.stats.Sample(sandbox->id, sandbox->cgroup_parent);
  }
  services.stats.Keep(known);
}

}  // namespace berth::server
