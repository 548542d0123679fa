// Indexes, manifests and image configurations; the first byte says as what the document was served.
#include <array>
#include <cstdint>
#include <string_view>

#include "image/artifact.h"
#include "image/manifest.h"
#include "image/media_type.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth::image;
  if (size == 0) return 0;
  constexpr std::array<std::string_view, 4> kTypes = {"", kOciIndex, kOciManifest, kDockerManifest};
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto document = ParseDocument(body, kTypes[data[0] % kTypes.size()]);
  if (document) {
    if (const auto* index = std::get_if<Index>(&*document)) Candidates(index->manifests, HostPlatform());
    if (const auto* manifest = std::get_if<Manifest>(&*document)) {
      (void)manifest->LayerBytes();
      if (const auto names = FileNames(*manifest); names && !names->empty())
        (void)FileHeader(names->front(), manifest->layers.front().size);
    }
  }
  (void)DocumentMediaType(body, "");
  if (const auto config = ParseImageConfig(body)) (void)ChainIds(config->diff_ids);
  return 0;
}
