// Files with hooks, which people and packages write.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "container/hooks.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth::container;
  const auto file = HookFile::Parse({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (!file) return 0;
  berth::oci::Hooks hooks;
  file->AddTo(hooks);
  for (const auto* stage : {&hooks.prestart, &hooks.create_runtime, &hooks.create_container, &hooks.start_container,
                            &hooks.poststart, &hooks.poststop}) {
    for (const berth::oci::Hook& hook : *stage) {
      if (!hook.path.starts_with('/')) std::abort();
    }
  }
  (void)file->Matches({.command = "/bin/sh", .annotations = {{"a", "b"}, {"c", ""}}, .has_bind_mounts = true});
  return 0;
}
