// The traceparent header of a caller.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "server/telemetry/trace_context.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto context = berth::telemetry::ParseTraceParent(text);
  if (context && text.size() < 55) std::abort();
  return 0;
}
