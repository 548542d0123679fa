// RuntimeDefault: what a container may call when its profile is the runtime's own. Everything that no rule allows gets
// EPERM. The table is the one of the Docker line, which images are tested against.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace berth::container {

struct DefaultArgument {
  uint32_t index = 0;
  std::string_view op;  // "SCMP_CMP_EQ"
  uint64_t value = 0;
  uint64_t value_two = 0;
};

// Allows one system call, or answers `error`, where all conditions hold. Empty: no condition.
struct DefaultRule {
  std::string_view syscall;
  int error = 0;
  std::string_view if_capability;      // is in the bounding set
  std::string_view unless_capability;  // is not
  std::string_view if_architectures;   // "arm,arm64": Go's names
  std::string_view unless_architectures;
  int kernel_major = 0;  // at least
  int kernel_minor = 0;
  std::optional<DefaultArgument> argument;
};

// What a filter for a host of this architecture (Go's name) has to cover, libseccomp's names. Empty: the host's own
// alone.
std::vector<std::string> DefaultArchitectures(std::string_view architecture);
std::span<const std::string_view> AlwaysAllowed();
std::span<const DefaultRule> ConditionalRules();

}  // namespace berth::container
