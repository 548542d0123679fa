// What the node is like at this moment, for the metrics.
#pragma once

#include <cstdint>
#include <vector>

#include "server/services.h"
#include "server/telemetry/metrics.h"
#include "server/telemetry/tracer.h"

namespace berth::server {

struct Leftovers {
  size_t waiting = 0;
  uint64_t repaired = 0;  // since the start
};

// Of the node and of this process. Reads snapshots and /proc.
std::vector<telemetry::Figure> AllFigures(const Services& services, const Leftovers& leftovers,
                                          const telemetry::Tracer* tracer);

}  // namespace berth::server
