// Applies the entries of a layer's archive to a folder of its own.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "image/file_sum.h"
#include "image/folder_cursor.h"
#include "image/layer_unpacker.h"
#include "image/tar_reader.h"

namespace berth::image {

// OCI image layer specification, "Applying Changesets" and "Whiteouts", in overlayfs' form: a whiteout is a character
// device 0:0, an opaque folder has trusted.overlay.opaque=y. Where the archive names something twice the last one
// counts; an entry wins over a whiteout of its name wherever they stand ("can only be hidden by whiteout files in
// subsequent layers"). Names are cleaned and cannot leave the folder. Attributes that overlayfs gives a meaning are
// dropped.
class LayerWriter : public TarSink {
 public:
  // `root` exists, is empty and nobody else writes there.
  static base::Result<std::unique_ptr<LayerWriter>> Create(const base::Path& root, const LayerLimits& limits);

  base::Status Begin(const TarEntry& entry) override;
  base::Status Data(uint64_t offset, std::span<const uint8_t> bytes) override;
  base::Status End() override;

  // After the last entry: folders get their times, the notes are handed over.
  base::Result<LayerNotes> Finish();

  uint64_t bytes() const { return bytes_; }
  uint64_t inodes() const { return inodes_; }
  uint64_t links() const { return links_; }  // names of files beside their first
  bool exact() const { return exact_; }
  std::optional<uint64_t> sum() const { return sum_.known() ? std::optional(sum_.value()) : std::nullopt; }

 private:
  LayerWriter(base::Path root, const LayerLimits& limits) : root_path_(std::move(root)), limits_(limits) {}

  base::Status Apply(const TarEntry& entry);
  base::Status ApplyRoot(const TarEntry& entry);
  base::Status ApplyFolder(const TarEntry& entry);
  base::Status ApplyFile(const TarEntry& entry);
  base::Status ApplyHardLink(const TarEntry& entry);
  base::Status ApplyNode(const TarEntry& entry);
  base::Status ApplyWhiteout(std::string_view hidden);
  base::Status MarkOpaque(std::string_view path);

  base::Status OnMade(const std::string& path, bool whiteout);
  base::Status Replace();
  void ForgetNotes(const std::string& path);
  void TargetReplaced(const std::string& path, bool folder);
  base::Status TakeNote(size_t bytes);
  base::Status FinishNode(const TarEntry& entry);
  std::string ProcPath(int fd, std::string_view name) const;

  const base::Path root_path_;
  const LayerLimits limits_;
  std::optional<FolderCursor> cursor_;

  TarEntry entry_;  // of the file being written
  base::UniqueFd file_;
  std::string name_;      // of the current entry, clean
  std::string base_;      // its last component
  CurrentFolder folder_;  // where it goes

  std::set<std::string, std::less<>> implied_;
  LayerNotes notes_;
  std::multimap<std::string, std::string, std::less<>>
      link_targets_;  // target -> name, of links whose target is as it was
  size_t note_bytes_ = 0;
  uint64_t entries_ = 0;
  uint64_t file_bytes_ = 0;
  uint64_t bytes_ = 0;
  uint64_t inodes_ = 1;  // the root
  uint64_t links_ = 0;
  bool exact_ = true;  // nothing was replaced
  FileSum sum_;
};

}  // namespace berth::image
