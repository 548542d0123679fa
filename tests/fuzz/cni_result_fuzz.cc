// CNI results and error documents: what a plugin may print.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "network/plugin.h"
#include "network/result.h"
#include "network/version.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth::network;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)ParseResult(text, "1.0.0", IpPreference::kIpv6);
  for (const std::string_view version : SpecVersions()) {
    const auto converted = ConvertResult(text, "0.4.0", version);
    // What we give to the next plugin must be a result of that version.
    if (converted && !ConvertResult(*converted, version, version)) std::abort();
  }
  (void)ParseFailure("p", "ADD", text, text, "exit code 1");
  return 0;
}
