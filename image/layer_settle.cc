#include "image/layer_settle.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <optional>
#include <set>

#include "image/file_copy.h"
#include "image/layer_path.h"
#include "image/layer_xattr.h"
#include "image/merged_view.h"

namespace berth::image {

using base::Code;
using base::Fail;
using base::FailErrno;
using base::Path;
using base::Result;
using base::Status;
using base::UniqueFd;

namespace {

// More than a lower chain of links can ask for; ends what would otherwise go round.
constexpr int kMaxMoves = 10'000;

Result<std::string> ReadLink(const std::string& path) {
  std::array<char, PATH_MAX> target;
  const ssize_t size = readlink(path.c_str(), target.data(), target.size());
  if (size < 0) return FailErrno(errno, "read link ", path);
  return std::string(target.data(), static_cast<size_t>(size));
}

// Not JoinLayerPath: the folder is no entry of itself.
std::string Under(const std::string& folder, const std::string& path) {
  return path.empty() ? folder : JoinLayerPath(folder, path);
}

class Settling {
 public:
  Settling(UnpackedLayer& layer, const std::vector<Path>& lower, const base::Context& context)
      : layer_(layer), context_(context), view_(Folders(layer, lower)), below_(lower) {}

  Status Run() {
    todo_.insert(layer_.notes.implied_folders.begin(), layer_.notes.implied_folders.end());
    RETURN_IF_ERROR(SettleFolders());
    RETURN_IF_ERROR(SettleLinks());
    // Copies brought folders with them.
    RETURN_IF_ERROR(SettleFolders());
    return RestoreTimes();
  }

 private:
  static std::vector<Path> Folders(const UnpackedLayer& layer, const std::vector<Path>& lower) {
    std::vector<Path> folders{layer.folder.path() / "diff"};
    folders.insert(folders.end(), lower.begin(), lower.end());
    return folders;
  }

  std::string Here(std::string_view path) const { return view_.PathIn(0, path); }

  Status SettleFolders() {
    while (!todo_.empty()) {
      RETURN_IF_ERROR(context_.Check("settle layer"));
      const std::string path = *todo_.begin();
      todo_.erase(todo_.begin());
      RETURN_IF_ERROR(SettleFolder(path), path);
    }
    return {};
  }

  Status SettleFolder(const std::string& path) {
    ASSIGN_OR_RETURN(const auto found, view_.FindBelow(path));
    if (!found) return {};
    const std::string below = view_.PathIn(found->layers.front(), path);
    if (S_ISDIR(found->info.st_mode)) {
      RETURN_IF_ERROR(CopyMetadata(below, Here(path)));
      times_[path] = found->info.st_mtim;
      return {};
    }
    if (!S_ISLNK(found->info.st_mode)) return {};
    ASSIGN_OR_RETURN(const std::string target, ReadLink(below));
    const std::string from_root =
        target.starts_with('/') ? target : base::Cat(SplitLayerPath(path).parent, '/', target);
    ASSIGN_OR_RETURN(const auto resolved, view_.Resolve(from_root, true));
    if (!resolved || IsWithin(*resolved, path)) return {};
    ASSIGN_OR_RETURN(const auto real, view_.Find(*resolved));
    if (!real || !S_ISDIR(real->info.st_mode)) return {};
    return Move(path, *resolved);
  }

  // The folder's content goes where the link below leads.
  Status Move(const std::string& from, const std::string& to) {
    Changed();
    if (++moves_ > kMaxMoves) return Fail(Code::kInvalidArgument, "symbolic links lead in circles");
    RETURN_IF_ERROR(MakeFolders(to));
    RETURN_IF_ERROR(KeepTime(to));
    RETURN_IF_ERROR(KeepTime(SplitLayerPath(from).parent));
    view_.Forget();
    RETURN_IF_ERROR(MergeInto(from, to));
    RenameNotes(from, to);
    return {};
  }

  // What was counted while unpacking no longer is what is there.
  void Changed() {
    layer_.exact = false;
    layer_.sum.reset();
  }

  // Not recursive: the depth is the archive's to choose, and a thread's stack is small.
  Status MergeInto(const std::string& from, const std::string& to) {
    std::vector<std::string> below{""};  // folders that are on both sides, by their path in either
    for (size_t i = 0; i < below.size(); ++i) {
      RETURN_IF_ERROR(context_.Check("settle layer"));
      const std::string folder = below[i];
      ASSIGN_OR_RETURN(const auto names, base::ListFolder(Here(Under(from, folder))));
      for (const std::string& name : names) {
        const std::string path = JoinLayerPath(folder, name);
        ASSIGN_OR_RETURN(const bool merge, MoveOne(Under(from, path), Under(to, path)));
        if (merge) below.push_back(path);
      }
    }
    for (auto folder = below.rbegin(); folder != below.rend(); ++folder) {
      if (rmdir(Here(Under(from, *folder)).c_str()) != 0) return FailErrno(errno, "remove ", from);
    }
    return {};
  }

  // True for two folders, which are to be merged.
  Result<bool> MoveOne(const std::string& from, const std::string& to) {
    struct stat moved {};
    struct stat there {};
    if (lstat(Here(from).c_str(), &moved) != 0) return FailErrno(errno, "stat ", from);
    const bool exists = lstat(Here(to).c_str(), &there) == 0;
    if (exists && S_ISDIR(moved.st_mode) && S_ISDIR(there.st_mode)) {
      RETURN_IF_ERROR(KeepTime(to));
      return true;
    }
    if (exists) RETURN_IF_ERROR(base::RemoveTree(Here(to)));
    if (rename(Here(from).c_str(), Here(to).c_str()) != 0) return FailErrno(errno, "move ", from);
    return false;
  }

  void RenameNotes(const std::string& from, const std::string& to) {
    const auto renamed = [&](const std::string& path) {
      return JoinLayerPath(to, std::string_view(path).substr(from.size() + 1));
    };
    std::set<std::string> folders;
    for (const std::string& path : todo_) folders.insert(IsWithin(path, from) ? renamed(path) : path);
    todo_ = std::move(folders);
    std::map<std::string, timespec> times;
    for (const auto& [path, time] : times_) {
      if (path != from) times[IsWithin(path, from) ? renamed(path) : path] = time;
    }
    times_ = std::move(times);
    std::map<std::string, LayerNotes::Link> links;
    for (auto& [path, link] : layer_.notes.links) links[IsWithin(path, from) ? renamed(path) : path] = std::move(link);
    layer_.notes.links = std::move(links);
  }

  // Makes the folders on the way to `path` in this layer, to be settled as implied ones. None of them is a link in the
  // merged view.
  Status MakeFolders(const std::string& path) {
    for (size_t end = 0; end < path.size();) {
      end = std::min(path.find('/', end + 1), path.size());
      const std::string folder = path.substr(0, end);
      struct stat info {};
      if (lstat(Here(folder).c_str(), &info) == 0 && S_ISDIR(info.st_mode)) continue;
      RETURN_IF_ERROR(KeepTime(SplitLayerPath(folder).parent));
      if (mkdir(Here(folder).c_str(), 0755) != 0) return FailErrno(errno, "mkdir ", folder);
      ++layer_.inodes;
      layer_.bytes += 4096;
      view_.Forget();
      todo_.insert(folder);
    }
    return {};
  }

  Status SettleLinks() {
    // As they stood in the archive: one may be the target of the next.
    std::vector<std::pair<std::string, LayerNotes::Link>> links(layer_.notes.links.begin(), layer_.notes.links.end());
    std::ranges::sort(links, {}, [](const auto& link) { return link.second.order; });
    for (const auto& [name, link] : links) {
      RETURN_IF_ERROR(context_.Check("settle layer"));
      RETURN_IF_ERROR(link.replaced ? SettleLinkBelow(name, link.target) : SettleLink(name, link.target), name);
    }
    layer_.notes = {};
    return {};
  }

  Status SettleLink(const std::string& name, const std::string& target) {
    ASSIGN_OR_RETURN(const auto resolved, view_.Resolve(target, false));
    std::optional<MergedView::Found> found;
    if (resolved) {
      ASSIGN_OR_RETURN(found, view_.Find(*resolved));
    }
    if (!found) return Fail(Code::kInvalidArgument, "hard link to ", target, ", which is not there");
    if (S_ISDIR(found->info.st_mode)) return Fail(Code::kInvalidArgument, "hard link to the folder ", target);
    if (*resolved == name) return {};
    if (found->layers.front() != 0) {
      const std::string parent(SplitLayerPath(*resolved).parent);
      RETURN_IF_ERROR(MakeFolders(parent));
      RETURN_IF_ERROR(KeepTime(parent));
      RETURN_IF_ERROR(Copy(view_.PathIn(found->layers.front(), *resolved), found->info, *resolved));
    }
    RETURN_IF_ERROR(ClearName(name));
    if (link(Here(*resolved).c_str(), Here(name).c_str()) != 0) return FailErrno(errno, "link to ", target);
    ++layer_.links;
    return {};
  }

  // The target's name is another file's by now, so the first link to it is the copy, and the others are links to that.
  Status SettleLinkBelow(const std::string& name, const std::string& target) {
    ASSIGN_OR_RETURN(const auto resolved, below_.Resolve(target, false));
    std::optional<MergedView::Found> found;
    if (resolved) {
      ASSIGN_OR_RETURN(found, below_.Find(*resolved));
    }
    if (!found) return Fail(Code::kInvalidArgument, "hard link to ", target, ", which is not there");
    if (S_ISDIR(found->info.st_mode)) return Fail(Code::kInvalidArgument, "hard link to the folder ", target);
    RETURN_IF_ERROR(ClearName(name));
    const auto [copy, first] = copies_.emplace(*resolved, name);
    if (first) return Copy(below_.PathIn(found->layers.front(), *resolved), found->info, name);
    if (link(Here(copy->second).c_str(), Here(name).c_str()) != 0)
      return FailErrno(errno, "link to the copy of ", target);
    ++layer_.links;
    return {};
  }

  Status ClearName(const std::string& name) {
    RETURN_IF_ERROR(KeepTime(SplitLayerPath(name).parent));
    struct stat old {};
    if (lstat(Here(name).c_str(), &old) != 0) return {};
    Changed();
    view_.Forget();
    return base::RemoveTree(Here(name));
  }

  // A lower layer's file, by its path there, becomes this layer's `path`.
  Status Copy(const std::string& from, const struct stat& info, const std::string& path) {
    const std::string to = Here(path);
    const mode_t mode = info.st_mode;
    if (S_ISREG(mode)) {
      layer_.sum.reset();
      RETURN_IF_ERROR(CopyContent(from, to, context_));
      layer_.bytes += static_cast<uint64_t>(info.st_blocks) * 512;
    } else if (S_ISLNK(mode)) {
      ASSIGN_OR_RETURN(const std::string target, ReadLink(from));
      if (symlink(target.c_str(), to.c_str()) != 0) return FailErrno(errno, "symlink ", to);
    } else if (mknod(to.c_str(), (mode & S_IFMT) | 0600, info.st_rdev) != 0) {
      return FailErrno(errno, "mknod ", to);
    }
    ++layer_.inodes;
    return CopyMetadata(from, to);
  }

  // Remembers a folder's time before something is changed in it.
  Status KeepTime(std::string_view path) {
    if (times_.contains(std::string(path))) return {};
    struct stat info {};
    if (lstat(Here(path).c_str(), &info) != 0) return FailErrno(errno, "stat ", path);
    times_[std::string(path)] = info.st_mtim;
    return {};
  }

  Status RestoreTimes() {
    for (const auto& [path, mtime] : times_) {
      const std::array<timespec, 2> times{timespec{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, mtime};
      if (utimensat(AT_FDCWD, Here(path).c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
        return FailErrno(errno, "set times of ", path);
      }
    }
    return {};
  }

  UnpackedLayer& layer_;
  const base::Context& context_;
  MergedView view_;   // this layer and those below
  MergedView below_;  // those below alone
  std::set<std::string> todo_;
  std::map<std::string, timespec> times_;
  std::map<std::string, std::string> copies_;  // of replaced targets: path below -> name here
  int moves_ = 0;
};

}  // namespace

Status SettleLayer(UnpackedLayer& layer, const std::vector<Path>& lower, const base::Context& context) {
  if (layer.notes.implied_folders.empty() && layer.notes.links.empty()) return {};
  RETURN_IF_ERROR(Settling(layer, lower, context).Run(), "settle layer");
  return {};
}

}  // namespace berth::image
