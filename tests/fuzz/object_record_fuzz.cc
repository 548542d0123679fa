// Records of containers and sandboxes: what is accepted can be written and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "container/container.h"
#include "sandbox/sandbox.h"

namespace {

template <typename Decode>
void Check(std::string_view text, Decode decode) {
  const auto object = decode(text);
  if (!object) return;
  const std::string written = Encode(*object);
  const auto again = decode(written);
  // The request's maps have no order, so its bytes may be others, but not more or fewer.
  if (!again || again->id != object->id || again->state != object->state || Encode(*again).size() != written.size())
    std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Check(text, berth::container::Decode);
  Check(text, berth::sandbox::Decode);
  return 0;
}
