// References: whatever parses must parse to the same again in its full and its short form.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "image/reference.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using berth::image::Reference;
  const auto reference = Reference::Parse({reinterpret_cast<const char*>(data), size});
  if (!reference) return 0;
  for (const std::string& text : {reference->Full(), reference->Familiar()}) {
    const auto again = Reference::Parse(text);
    if (!again || *again != *reference) std::abort();
  }
  return 0;
}
