// A layer's archive, applied to a folder beside which a canary lives.
#include <sys/stat.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/file.h"
#include "image/layer_unpacker.h"

namespace {

using berth::image::LayerLimits;
using berth::image::LayerUnpacker;
using berth::image::StagedFolder;

struct Ground {
  Ground() {
    std::string name = (std::filesystem::temp_directory_path() / "berth-tar-fuzz-XXXXXX").native();
    path = mkdtemp(name.data());
    if (!berth::base::MakeDirs(path / "outside") || !berth::base::WriteFile(path / "outside/canary", "alive")) abort();
  }
  ~Ground() { (void)berth::base::RemoveTree(path); }
  berth::base::Path path;
};

void CheckCanary(const Ground& ground) {
  const auto outside = berth::base::ListFolder(ground.path / "outside");
  const auto beside = berth::base::ListFolder(ground.path);
  struct stat info {};
  if (!outside || outside->size() != 1 || !beside || beside->size() != 1) abort();
  if (berth::base::ReadFile(ground.path / "outside/canary").value_or("") != "alive") abort();
  if (lstat((ground.path / "outside/canary").c_str(), &info) != 0 || (info.st_mode & 07777) != 0600 ||
      info.st_nlink != 1)
    abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Ground ground;
  LayerLimits limits;
  limits.file_bytes = 1 << 20;
  limits.entries = 1000;
  limits.note_bytes = 64 << 10;
  limits.decompress = {.zstd_window_log = 20, .output_limit = 4 << 20};
  const berth::base::Path folder = ground.path / "layer";
  if (!berth::base::MakeDirs(folder)) abort();
  {
    auto unpacker = LayerUnpacker::Create(StagedFolder(folder), limits);
    if (!unpacker) abort();
    const size_t piece = size > 0 ? 1 + data[size - 1] * 7 : 1;
    for (size_t at = 0; at < size; at += piece) (void)(*unpacker)->Write({data + at, std::min(piece, size - at)});
    (void)(*unpacker)->Finish({});
  }
  CheckCanary(ground);
  return 0;
}
