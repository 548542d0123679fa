// What the configuration says to each part of the daemon, in the part's own words.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "config/config.h"
#include "image/registry.h"
#include "image/store.h"
#include "network/network.h"
#include "server/telemetry/metrics.h"

namespace berth::server {

image::RegistryOptions RegistryOptionsOf(const config::Config::Image& config);
image::Store::Options StoreOptionsOf(const config::Config& config);
network::Options NetworkOptionsOf(const config::Config& config, telemetry::Metrics& metrics);

// As OpenTelemetry's conventions name them.
std::vector<std::pair<std::string, std::string>> TraceResource();
// Of every service that is served here.
std::vector<std::string> MethodNames();

}  // namespace berth::server
