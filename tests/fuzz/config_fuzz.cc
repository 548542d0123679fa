// YAML that anybody wrote: never a crash; what is accepted prints to YAML that means the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "config/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto config = berth::config::Parse({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (!config) return 0;
  const auto again = berth::config::Parse(berth::config::Print(*config), "printed");
  if (!again || *again != *config) std::abort();
  return 0;
}
