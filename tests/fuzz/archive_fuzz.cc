// An archive of images from anywhere: whatever it says, what is read out of it is what its digests say.
#include <fcntl.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/file.h"
#include "image/archive.h"

namespace {

struct Ground {
  Ground() {
    std::string name = (std::filesystem::temp_directory_path() / "berth-archive-fuzz-XXXXXX").native();
    path = mkdtemp(name.data());
  }
  ~Ground() { (void)berth::base::RemoveTree(path); }
  berth::base::Path path;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth::image;
  static const Ground ground;
  const berth::base::Path file = ground.path / "file";
  if (!berth::base::WriteFile(file, {reinterpret_cast<const char*>(data), size})) abort();
  auto spare = berth::base::Open(ground.path, O_TMPFILE | O_RDWR, 0600);
  if (!spare) abort();
  const auto archive = Archive::Open(file, *std::move(spare), HostPlatform(), {});
  if (!archive) return 0;
  for (const ArchivedImage& image : (*archive)->images()) {
    if (!image.made_up && Sha256::Of(image.top.body) != image.top.digest) abort();
    const auto document = ParseDocument(image.top.body, image.top.media_type);
    if (!document || !std::holds_alternative<Manifest>(*document)) continue;
    const auto& manifest = std::get<Manifest>(*document);
    const auto config = (*archive)->FetchSmall(manifest.config, kMaxConfigBytes, {});
    if (config && Sha256::Of(*config) != manifest.config.digest) abort();
    for (const Descriptor& layer : manifest.layers) {
      (void)(*archive)->FetchBlob(layer, [](std::span<const uint8_t>) { return berth::base::Status(); }, {});
    }
  }
  return 0;
}
