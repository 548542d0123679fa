#include "image/folder_cursor.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/file.h"
#include "base/strings.h"
#include "image/layer_path.h"

namespace berth::image {

using base::Code;
using base::Fail;
using base::FailErrno;
using base::Result;
using base::Status;
using base::UniqueFd;

namespace {

// Depth is the archive's to choose; descriptors are ours. Deeper folders are opened anew when they are needed again.
constexpr size_t kOpenLevels = 48;
// What base::RemoveTree can take away again.
constexpr size_t kMaxDepth = 512;
constexpr mode_t kFolderMode = 0755;

void Append(std::vector<std::string>& todo, std::string_view path) {
  const auto parts = base::Split(path, '/');
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (!part->empty() && *part != ".") todo.emplace_back(*part);
  }
}

}  // namespace

Result<FolderCursor> FolderCursor::Create(UniqueFd root, OnMade on_made) {
  FolderCursor cursor(std::move(on_made));
  RETURN_IF_ERROR(cursor.Push("", std::move(root)));
  return cursor;
}

CurrentFolder FolderCursor::Current() const {
  return {.fd = levels_.back().fd.get(), .path = path_, .passes_group = levels_.back().setgid};
}

Result<CurrentFolder> FolderCursor::Enter(std::string_view path) {
  if (entered_valid_ && entered_ == path) return Current();
  entered_valid_ = false;

  // The levels are real folders, so an equal beginning of the path leads to them.
  size_t common = 0;
  size_t length = 0;
  while (common + 1 < levels_.size()) {
    const std::string& name = levels_[common + 1].name;
    const std::string_view rest = path.substr(length);
    if (!rest.starts_with(name) || (rest.size() > name.size() && rest[name.size()] != '/')) break;
    length = std::min(length + name.size() + 1, path.size());
    ++common;
  }
  std::vector<std::string> todo;
  Append(todo, path.substr(length));
  while (levels_.size() > common + 1) RETURN_IF_ERROR(Pop());
  while (!levels_.back().fd) {
    todo.push_back(levels_.back().name);
    RETURN_IF_ERROR(Pop());
  }
  RETURN_IF_ERROR(Walk(std::move(todo)), path);
  entered_ = path;
  entered_valid_ = true;
  return Current();
}

Status FolderCursor::Walk(std::vector<std::string> todo) {
  int links = 0;
  while (!todo.empty()) {
    const std::string name = std::move(todo.back());
    todo.pop_back();
    if (name != "..") {
      RETURN_IF_ERROR(Down(name, todo, links));
      continue;
    }
    if (levels_.size() > 1) RETURN_IF_ERROR(Pop());
    while (!levels_.back().fd) {
      todo.push_back(levels_.back().name);
      RETURN_IF_ERROR(Pop());
    }
  }
  return {};
}

Status FolderCursor::Down(std::string_view name, std::vector<std::string>& todo, int& links) {
  const std::string text(name);
  const int at = levels_.back().fd.get();
  UniqueFd fd(openat(at, text.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd) return Push(name, std::move(fd));
  if (errno == ENOENT) return Make(name, false);
  if (errno != ENOTDIR && errno != ELOOP) return FailErrno(errno, "open folder ", name);

  struct stat info {};
  if (fstatat(at, text.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return FailErrno(errno, "stat ", name);
  if (S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0)) {
    if (unlinkat(at, text.c_str(), 0) != 0) return FailErrno(errno, "remove ", name);
    return Make(name, true);
  }
  if (!S_ISLNK(info.st_mode)) return Fail(Code::kInvalidArgument, name, " is not a folder");
  if (++links > kMaxLinksFollowed) return Fail(Code::kInvalidArgument, "too many symbolic links");
  std::array<char, PATH_MAX> target;
  const ssize_t size = readlinkat(at, text.c_str(), target.data(), target.size());
  if (size < 0) return FailErrno(errno, "read link ", name);
  const std::string_view link(target.data(), static_cast<size_t>(size));
  Append(todo, link);
  if (link.starts_with('/')) {
    while (levels_.size() > 1) RETURN_IF_ERROR(Pop());
  }
  return {};
}

Status FolderCursor::Make(std::string_view name, bool whiteout) {
  const std::string text(name);
  Touch();
  const int at = levels_.back().fd.get();
  if (mkdirat(at, text.c_str(), kFolderMode) != 0) return FailErrno(errno, "mkdir ", name);
  // The umask has no say in what an image looks like, and nobody said when this folder was last modified.
  if (fchmodat(at, text.c_str(), kFolderMode, 0) != 0) return FailErrno(errno, "chmod ", name);
  const std::array<timespec, 2> epoch{};
  if (utimensat(at, text.c_str(), epoch.data(), AT_SYMLINK_NOFOLLOW) != 0)
    return FailErrno(errno, "set times of ", name);
  UniqueFd fd(openat(at, text.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return FailErrno(errno, "open folder ", name);
  RETURN_IF_ERROR(Push(name, std::move(fd)));
  return on_made_(path_, whiteout);
}

Status FolderCursor::Push(std::string_view name, UniqueFd fd) {
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return FailErrno(errno, "stat folder ", name);
  levels_.push_back(
      {.name = std::string(name), .fd = std::move(fd), .mtime = info.st_mtim, .setgid = (info.st_mode & S_ISGID) != 0});
  path_ = levels_.size() == 1 ? std::string() : JoinLayerPath(path_, name);
  if (levels_.size() > kMaxDepth || path_.size() > kMaxLayerPath) {
    return Fail(Code::kInvalidArgument, "folders nested too deeply");
  }
  if (levels_.size() > kOpenLevels + 1) {
    Level& above = levels_[levels_.size() - 2];
    RETURN_IF_ERROR(Restore(above));
    above.fd.Reset();
  }
  return {};
}

Status FolderCursor::Pop() {
  RETURN_IF_ERROR(Restore(levels_.back()));
  levels_.pop_back();
  path_.resize(SplitLayerPath(path_).parent.size());
  return {};
}

Status FolderCursor::Restore(Level& level) {
  if (!level.touched || !level.fd) return {};
  level.touched = false;
  const std::array<timespec, 2> times{timespec{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, level.mtime};
  if (utimensat(level.fd.get(), ".", times.data(), 0) != 0) return FailErrno(errno, "set times of folder ", level.name);
  return {};
}

void FolderCursor::SetRootTime(timespec mtime) {
  levels_.front().mtime = mtime;
  levels_.front().touched = true;
}

Status FolderCursor::Leave() {
  entered_valid_ = false;
  while (levels_.size() > 1) RETURN_IF_ERROR(Pop());
  return Restore(levels_.front());
}

}  // namespace berth::image
