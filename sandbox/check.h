// What a RunPodSandbox request must and must not say. Checked before any side effect.
#pragma once

#include "base/result.h"
#include "cri-proto/cri.h"

namespace berth::sandbox {

// kInvalidArgument names the field; kUnimplemented what this version cannot do.
base::Status CheckConfig(const cri::PodSandboxConfig& config, bool systemd_cgroup);

}  // namespace berth::sandbox
