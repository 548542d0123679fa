// Seccomp profiles in the JSON form that Docker made common: rules with conditions, resolved into plain OCI rules.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "oci/spec.h"

namespace berth::container {

struct SeccompHost {
  std::string_view architecture;  // Go's name: "amd64"
  int kernel_major = 0;
  int kernel_minor = 0;
};
SeccompHost ThisSeccompHost();

// kInvalidArgument for what is no profile. Rules whose conditions do not hold for these capabilities (CAP_ names) and
// this host, and system calls that the local libseccomp does not know, are left out.
base::Result<oci::Seccomp> ParseSeccompProfile(std::string_view json, std::span<const std::string> capabilities,
                                               const SeccompHost& host);

// Whether libseccomp knows the name on this architecture: an OCI runtime of the same age would refuse or skip it.
bool KnowsSyscall(const std::string& name);

}  // namespace berth::container
