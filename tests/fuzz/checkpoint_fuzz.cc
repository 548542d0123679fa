// A checkpoint's archive: its documents as ReadCheckpoint finds them, its images and files beside a canary.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/file.h"
#include "container/checkpoint_archive.h"

namespace {

using berth::image::LayerUnpacker;
using berth::image::StagedFolder;

berth::base::Path MakeGround() {
  std::string name = (std::filesystem::temp_directory_path() / "berth-checkpoint-fuzz-XXXXXX").native();
  const berth::base::Path path = mkdtemp(name.data());
  if (!berth::base::WriteFile(path / "canary", "alive")) abort();
  return path;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const berth::base::Path ground = MakeGround();
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)berth::container::ParseCheckpoint(text, text, text);
  const berth::base::UniqueFd archive(memfd_create("archive", MFD_CLOEXEC));
  if (!archive || !berth::base::WriteAll(archive.get(), text, "archive")) abort();
  (void)berth::container::ReadCheckpoint(archive.get(), {});

  const berth::base::Path folder = ground / "unpacked";
  if (!berth::base::MakeDirs(folder / "images") || !berth::base::MakeDirs(folder / "root")) abort();
  {
    berth::image::LayerLimits limits;
    limits.file_bytes = 1 << 20;
    limits.entries = 1000;
    limits.decompress = {.zstd_window_log = 20, .output_limit = 4 << 20};
    auto unpacker = LayerUnpacker::Create(StagedFolder(folder / "root"), limits);
    if (!unpacker) abort();
    (void)berth::container::UnpackCheckpoint(archive.get(), folder / "images", **unpacker, {});
    (void)(*unpacker)->Finish({});
  }
  if (!berth::base::RemoveTree(folder)) abort();
  const auto beside = berth::base::ListFolder(ground);
  if (!beside || beside->size() != 1 || berth::base::ReadFile(ground / "canary").value_or("") != "alive") abort();
  return 0;
}
