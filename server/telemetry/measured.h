// What other people's programs cost: the plugin runner and the OCI runtimes, each run told to the metrics.
#pragma once

#include <memory>

#include "network/plugin.h"
#include "oci/runtime.h"
#include "server/telemetry/metrics.h"

namespace berth::telemetry {

// `metrics` outlives them.
std::unique_ptr<network::PluginRunner> Measured(std::unique_ptr<network::PluginRunner> runner, Metrics& metrics);
std::shared_ptr<oci::Runtime> Measured(std::shared_ptr<oci::Runtime> runtime, Metrics& metrics);

}  // namespace berth::telemetry
