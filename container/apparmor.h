// The container's AppArmor profile (OCI runtime spec, process.apparmorProfile).
#pragma once

#include <string>

#include "base/file.h"
#include "base/result.h"
#include "cri-proto/cri.h"

namespace berth::container {

// The profile's name; empty: none is to be set. `sys` is where sysfs is mounted.
// The request's `apparmor` wins over the superseded `apparmor_profile`. kInvalidArgument for a profile that this host's
// kernel has not loaded, and for one of localhost on a host without AppArmor. RuntimeDefault, and nothing at all, is
// kApparmorDefault where the kernel has AppArmor, which is then the caller's to load. Where it cannot be loaded
// (`default_loads` false) nothing means none, but RuntimeDefault is kFailedPrecondition: running unconfined is not what
// was asked for. Without AppArmor both mean none.
base::Result<std::string> MapApparmor(const cri::LinuxContainerSecurityContext& security, bool default_loads,
                                      const base::Path& sys = "/sys");

}  // namespace berth::container
