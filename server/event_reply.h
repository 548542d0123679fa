// A change as its listeners read it.
#pragma once

#include "server/events.h"
#include "server/services.h"

namespace berth::server {

// With the pod's status and that of each of its containers, as they are now.
void DescribeEvent(const Services& services, const Change& change, cri::ContainerEventResponse& out);

}  // namespace berth::server
