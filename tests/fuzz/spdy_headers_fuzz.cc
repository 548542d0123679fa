// SPDY header blocks from a client: as compressed bytes in several blocks, and as inflated text. The first byte
// chooses.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "spdy/header_block.h"

namespace spdy = berth::spdy;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    const auto headers = spdy::ParseHeaders(bytes);
    if (headers && spdy::HeaderText(*headers) != bytes) std::abort();
    return 0;
  }
  constexpr size_t kLimit = 10'000;
  spdy::HeaderInflater inflater(kLimit);
  const size_t block = 1 + data[0] / 2;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(block, bytes.size()))) {
    const auto text = inflater.Inflate(bytes.substr(0, block));
    if (!text) break;
    if (text->size() > kLimit) std::abort();
    (void)spdy::ParseHeaders(*text);
  }
  return 0;
}
