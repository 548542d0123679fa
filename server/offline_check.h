// `berthd check`: the image store looked at, and repaired, while no daemon runs.
#pragma once

#include "base/result.h"
#include "config/config.h"
#include "image/check.h"

namespace berth::server {

// Prints what it finds and does; false when there was something to find. Opening the store takes away what cannot be
// read, as each start of the daemon does. Layers that containers may have mounted are kept for the next start, which
// knows whether they do.
base::Result<bool> CheckOffline(const config::Config& config, const image::CheckOptions& options);

}  // namespace berth::server
