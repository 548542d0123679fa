// What a RunPodSandbox request must and must not say. Checked before any side effect.
#pragma once

#include "base/result.h"
#include "cri-proto/cri.h"
#include "kernel/user_namespace.h"

namespace berth::sandbox {

// kInvalidArgument names the field; kUnimplemented what this version cannot do.
base::Status CheckConfig(const cri::PodSandboxConfig& config, bool systemd_cgroup);

// Of a request that passed the check and has userns_options with mode POD.
kernel::UserMap UserMapOf(const cri::PodSandboxConfig& config);

}  // namespace berth::sandbox
