// mountinfo, whose paths others choose, and cgroup paths as requests name them. The first byte chooses.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "kernel/cgroup.h"
#include "kernel/mount.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth::kernel;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    (void)ParseMountInfo(text);
    return 0;
  }
  const auto group = ResolveCgroup(text);
  if (!group) return 0;
  // What is joined to a hierarchy's mount must lie in it, and not be its root.
  if (!group->is_absolute() || *group == "/") std::abort();
  for (const auto& part : *group) {
    if (part == ".." || part.native().find('\0') != std::string::npos) std::abort();
  }
  return 0;
}
