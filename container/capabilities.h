// Which capabilities a container gets (oci spec, process.capabilities).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "cri-proto/cri.h"
#include "oci/spec.h"

namespace berth::container {

// `defaults` are names with or without CAP_; `available` is the daemon's own bounding set (bit n is capability n):
// nothing beyond it can be granted, and what was asked for by ALL is cut down to it. Privileged is all of it, whatever
// the lists say. kInvalidArgument for a name in `add` that no kernel knows or that the daemon has not got itself.
base::Result<oci::Capabilities> MapCapabilities(const cri::LinuxContainerSecurityContext& security,
                                                std::span<const std::string> defaults, uint64_t available);

}  // namespace berth::container
