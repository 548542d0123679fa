// The container's seccomp filter (OCI runtime spec, linux.seccomp).
#pragma once

#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "cri-proto/cri.h"
#include "oci/spec.h"

namespace berth::container {

// No value: unconfined. `capabilities` is the container's bounding set (CAP_ names), on which rules depend. A profile
// "localhost" is read from an absolute path on this host; kInvalidArgument when that cannot be read or is no profile.
base::Result<std::optional<oci::Seccomp>> MapSeccomp(const cri::LinuxContainerSecurityContext& security,
                                                     std::span<const std::string> capabilities);

}  // namespace berth::container
