// What OCI runtimes print: messages, states, features.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "oci/runtime.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)berth::oci::ErrorText(text);
  (void)berth::oci::ParseState(text, "fuzz");
  const size_t line = text.find('\n');
  if (line != std::string_view::npos)
    (void)berth::oci::ParseFeatures(text.substr(0, line), text.substr(line + 1), "fuzz");
  return 0;
}
