// One layer: compressed bytes in, a folder out. Nothing becomes visible before Store::CommitLayer.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"
#include "image/decompress.h"
#include "image/digest.h"

namespace berth::image {

// Against archives made to hurt. Beyond each: kResourceExhausted.
struct LayerLimits {
  Decompressor::Options decompress;
  uint64_t file_bytes = uint64_t{256} << 30;  // all files of a layer together
  uint64_t entries = 10'000'000;
  size_t note_bytes = 16 << 20;  // names kept for CommitLayer: hard links and folders that refer to lower layers
};

// A folder under images/tmp that is removed with its owner unless it was moved away.
class StagedFolder {
 public:
  StagedFolder() = default;
  explicit StagedFolder(base::Path path) : path_(std::move(path)) {}
  StagedFolder(StagedFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  StagedFolder& operator=(StagedFolder&& other) noexcept;
  ~StagedFolder();

  const base::Path& path() const { return path_; }
  void Forget() { path_.clear(); }  // moved away: it is no longer ours to remove

 private:
  base::Path path_;
};

// What an archive asked for that only the layers below can tell. Names are clean, relative to the layer's root.
struct LayerNotes {
  // Folders that were needed but not in the archive, "" for the root: they look like the lower layer's.
  std::vector<std::string> implied_folders;
  // name -> target of hard links whose target is not in this layer, with the place in the archive.
  struct Link {
    uint64_t order = 0;
    std::string target;
    bool replaced = false;  // later the archive put something else there: the link is to what the layers below have
  };
  std::map<std::string, Link> links;
};

// A layer that was read to its end. Its files are complete but not flushed to disk.
struct UnpackedLayer {
  StagedFolder folder;  // holds "diff"
  Digest diff_id;       // sha256 of all decompressed bytes
  Compression compression = Compression::kPlain;
  uint64_t tar_bytes = 0;
  uint64_t bytes = 0;  // of the files, each rounded up to 4 KiB
  uint64_t inodes = 0;
  uint64_t links = 0;           // hard links: names of files beside their first
  bool exact = true;            // nothing was replaced, so `inodes` and `links` are what is there
  std::optional<uint64_t> sum;  // FileSum of the files, where it could be taken
  LayerNotes notes;
};

// Applies a layer (OCI image layer specification, "Applying Changesets") to an empty folder of its own; whiteouts are
// written in overlayfs' form (kernel's overlayfs.rst, "whiteouts and opaque directories"). Inflating runs on the
// caller's thread; hashing the tar and writing files on one thread of the unpacker's, 2 MiB behind at most. Blob
// digests are the caller's. One caller at a time.
class LayerUnpacker {
 public:
  // `folder` exists and is empty. The context ends what Write waits for.
  static base::Result<std::unique_ptr<LayerUnpacker>> Create(StagedFolder folder, const LayerLimits& limits,
                                                             const base::Context& context = {});
  // Stops the thread after what it is writing and removes the folder, unless Finish succeeded.
  ~LayerUnpacker();

  // Waits while the files are behind, and for memory for a large window. A failure is final and comes again from
  // Finish.
  base::Status Write(std::span<const uint8_t> compressed);

  // The blob has ended: waits until all is written. Call once. The context is looked at, it cannot hurry the disk.
  base::Result<UnpackedLayer> Finish(const base::Context& context);

 private:
  struct State;
  explicit LayerUnpacker(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace berth::image
