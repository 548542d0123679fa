// Looking through layers as overlayfs would, without mounting them.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace berth::image {

// Whiteouts and opaque folders are honoured (kernel's overlayfs.rst). The folders belong to the store: nobody but the
// caller changes them. Remembers the folders on the way to what was asked for last, so that a walk takes one step for
// each entry, whatever the depth. Not thread-safe.
class MergedView {
 public:
  explicit MergedView(std::vector<base::Path> folders) : folders_(std::move(folders)) {}  // top first

  struct Found {
    std::vector<size_t> layers;  // of a folder: all that are merged, top first; else the one it is in
    struct stat info {};         // of the topmost
  };

  // `path` is clean. Symbolic links are not followed: one on the way means that there is nothing.
  base::Result<std::optional<Found>> Find(std::string_view path);
  // The same with the last component looked up below the topmost layer alone, as if that had neither it nor an opaque
  // mark there.
  base::Result<std::optional<Found>> FindBelow(std::string_view path);
  // The path without symbolic links, walked as if the root were "/". The last component is followed when `follow_last`.
  // Nothing when it or a part of it is not there.
  base::Result<std::optional<std::string>> Resolve(std::string_view path, bool follow_last);
  // To be called when a folder was made, moved or removed.
  void Forget() { way_.clear(), levels_.clear(); }

  std::string PathIn(size_t layer, std::string_view path) const;

 private:
  // One step: `name` in the folder `path` that is merged from `layers`.
  base::Result<std::optional<Found>> Step(const std::vector<size_t>& layers, std::string_view path) const;
  std::vector<size_t> Roots() const;
  // The layers that are merged into the parent of `path`, nullptr when there is no such folder. Valid until the next
  // call.
  base::Result<const std::vector<size_t>*> Parents(std::string_view path);
  void KeepTheWayTo(std::string_view folder);

  std::vector<base::Path> folders_;
  struct Level {
    size_t end = 0;  // so much of way_ is this folder's path
    std::vector<size_t> layers;
  };
  std::string way_;
  std::vector<Level> levels_;  // the root first
};

}  // namespace berth::image
