// What this process may do and hand on: resource limits, OOM score, capabilities.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::kernel {

inline constexpr uint64_t kUnlimited = ~uint64_t{0};
struct ResourceLimit {
  std::string_view name;  // "RLIMIT_NOFILE", as OCI writes it
  uint64_t soft = kUnlimited;
  uint64_t hard = kUnlimited;
};
std::vector<ResourceLimit> OwnResourceLimits();

base::Result<int> OwnOomScoreAdj();
// The value nearest to `wanted` that this process may give to its children: −1000 to 1000, and without
// CAP_SYS_RESOURCE not below its own (proc_pid_oom_score_adj(5)).
base::Result<int> ClampOomScoreAdj(int wanted);

// Bit n is capability n (capabilities(7)).
struct CapabilitySets {
  uint64_t inheritable = 0;
  uint64_t permitted = 0;
  uint64_t effective = 0;
  uint64_t bounding = 0;
  uint64_t ambient = 0;
};
base::Result<CapabilitySets> OwnCapabilities();

// Names of all capabilities of Linux, the index being the number: "CAP_CHOWN" first.
std::span<const std::string_view> CapabilityNames();
// With or without "CAP_", in any case. Nothing for an unknown name ("ALL" is one).
std::optional<int> CapabilityNumber(std::string_view name);
// Highest number that the running kernel knows (/proc/sys/kernel/cap_last_cap).
base::Result<int> LastCapability();

}  // namespace berth::kernel
