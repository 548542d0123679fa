#include "server/event_reply.h"

#include "server/filter.h"
#include "server/status_reply.h"

namespace berth::server {

void DescribeEvent(const Services& services, const Change& change, cri::ContainerEventResponse& out) {
  out.set_container_id(change.id);
  out.set_container_event_type(change.type);
  out.set_created_at(change.time);
  // The kubelet drops an event without the pod's metadata, so a pod that has gone is told as it was last.
  const auto found = services.sandboxes.Find(change.sandbox_id);
  if (const SandboxPtr sandbox = found ? *found : change.sandbox)
    FillStatus(*sandbox, *out.mutable_pod_sandbox_status());
  for (const auto& container : FilterContainers(services, {}, change.sandbox_id, {})) {
    FillStatus(*container, *out.add_containers_statuses());
  }
}

}  // namespace berth::server
