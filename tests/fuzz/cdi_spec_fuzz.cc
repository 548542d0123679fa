// CDI specifications, as JSON and as YAML: files that vendors' programs write.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "container/cdi.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth::container;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const char* path : {"x.json", "x.yaml"}) {
    const auto spec = ParseCdiSpec(text, path);
    if (!spec) continue;
    if (spec->kind.find('/') == std::string::npos) std::abort();
    for (const auto& [name, edits] : spec->devices) {
      if (name.empty()) std::abort();
      for (const CdiNode& node : edits.nodes) {
        if (!node.path.starts_with('/')) std::abort();
      }
    }
  }
  return 0;
}
