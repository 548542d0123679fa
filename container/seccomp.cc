#include "container/seccomp.h"

#include "cri-proto/api.pb.h"

namespace berth::container {

base::Result<std::optional<oci::Seccomp>> MapSeccomp(const cri::LinuxContainerSecurityContext& security,
                                                     std::span<const std::string>) {
  if (!security.has_seccomp() || security.seccomp().profile_type() == cri::SecurityProfile::Unconfined) return std::optional<oci::Seccomp>();
  return base::Fail(base::Code::kUnimplemented, "seccomp");
}

}  // namespace berth::container
