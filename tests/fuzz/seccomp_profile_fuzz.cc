// Seccomp profiles: files that people and tools write.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "container/seccomp_profile.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth::container;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::vector<std::string> capabilities = {"CAP_SYS_ADMIN"};
  for (const std::string_view architecture : {"amd64", "arm64", ""}) {
    const auto profile =
        ParseSeccompProfile(text, capabilities, {.architecture = architecture, .kernel_major = 5, .kernel_minor = 10});
    if (!profile) continue;
    for (const auto& rule : profile->syscalls) {
      if (rule.names.empty() || rule.action.empty()) std::abort();
    }
  }
  return 0;
}
