// A pod's sysctls: the request's, and where that says nothing the node's defaults.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "cri-proto/cri.h"

namespace berth::sandbox {

using Sysctls = std::vector<std::pair<std::string, std::string>>;

// "name=value" each. kInvalidArgument names one that no pod can have for itself.
base::Result<Sysctls> ParseSysctls(const std::vector<std::string>& texts);

// kInvalidArgument names one of the request that belongs to a namespace which the pod shares with the host; a default
// is passed over there.
base::Result<Sysctls> SysctlsOf(const cri::PodSandboxConfig& config, const Sysctls& defaults);

}  // namespace berth::sandbox
