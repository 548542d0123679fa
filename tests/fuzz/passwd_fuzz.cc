// passwd and group files as an image brings them. The first line is the name to look for.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "container/passwd.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth::container;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const size_t newline = all.find('\n');
  if (newline == std::string_view::npos) return 0;
  const std::string_view name = all.substr(0, newline);
  const std::string_view text = all.substr(newline + 1);
  if (const auto user = FindUser(text, name)) {
    if (user->name != name) std::abort();
    const auto same = FindUser(text, user->uid);
    if (!same || same->uid != user->uid) std::abort();
  }
  (void)FindGroup(text, name);
  for (const int64_t gid : GroupsOf(text, name)) {
    if (gid < 0 || gid > kMaxId) std::abort();
  }
  return 0;
}
