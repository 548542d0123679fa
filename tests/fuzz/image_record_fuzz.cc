// The image store's records of layers and images. The input is a body: with a checksum over it, it gets further than
// one that was damaged.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "image/store_records.h"
#include "json/json.h"
#include "state/checksum.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth::image;
  const auto body = berth::json::Parse({reinterpret_cast<const char*>(data), size}, "body");
  if (!body) return 0;
  const std::string sum = berth::state::ChecksumText(berth::json::Dump(*body));
  const std::string text = berth::json::Dump(nlohmann::json{{"version", 1}, {"checksum", sum}, {"body", *body}});
  if (const auto layer = DecodeLayer(text)) {
    const auto again = DecodeLayer(EncodeLayer(*layer));
    if (!again || again->chain_id != layer->chain_id || again->bytes != layer->bytes || again->inodes != layer->inodes)
      std::abort();
  }
  if (const auto image = DecodeImage(text)) {
    const auto again = DecodeImage(EncodeImage(*image));
    if (!again || again->image.id != image->image.id || again->sequence != image->sequence) std::abort();
  }
  return 0;
}
