#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <utility>

#include "base/strings.h"

namespace berth::base {

Result<UniqueFd> Open(const Path& path, int flags, mode_t mode) {
  return OpenAt(AT_FDCWD, path, flags, mode);
}

Result<UniqueFd> OpenAt(int dir, const Path& path, int flags, mode_t mode) {
  while (true) {
    const int fd = openat(dir, path.c_str(), flags | O_CLOEXEC, mode);
    if (fd >= 0) return UniqueFd(fd);
    if (errno != EINTR) return FailErrno(errno, "open ", path.native());
  }
}

Result<UniqueFd> OpenInRoot(int root, const Path& path, int flags, mode_t mode) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags) | O_CLOEXEC;
  how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  while (true) {
    const long fd = syscall(SYS_openat2, root, path.c_str(), &how, sizeof how);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    // EAGAIN: a rename elsewhere on the system raced with a ".." step; the kernel asks to try again.
    if (errno != EINTR && errno != EAGAIN) return FailErrno(errno, "open ", path.native());
  }
}

Result<UniqueFd> MakeDirsInRoot(int root, const Path& path, mode_t mode) {
  Path done = ".";
  ASSIGN_OR_RETURN(UniqueFd at, OpenInRoot(root, ".", O_PATH | O_DIRECTORY));
  for (const Path& part : path.relative_path()) {
    if (part.empty() || part == ".") continue;
    done /= part;
    auto next = OpenInRoot(root, done, O_PATH | O_DIRECTORY);
    if (!next && next.error().err == ENOENT && part != "..") {
      if (mkdirat(at.get(), part.c_str(), mode) != 0 && errno != EEXIST)
        return FailErrno(errno, "mkdir ", done.native());
      next = OpenInRoot(root, done, O_PATH | O_DIRECTORY);
    }
    if (!next) return tl::make_unexpected(std::move(next).error());
    at = *std::move(next);
  }
  return at;
}

Result<std::string> ReadFile(const Path& path, size_t limit) {
  ASSIGN_OR_RETURN(UniqueFd fd, Open(path, O_RDONLY));
  return ReadAll(fd.get(), limit, path.native());
}

Result<std::string> ReadAll(int fd, size_t limit, std::string_view what) {
  std::string out;
  std::array<char, 16384> buffer;
  while (true) {
    const ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FailErrno(errno, "read ", what);
    if (got == 0) return out;
    if (out.size() + static_cast<size_t>(got) > limit) {
      return Fail(Code::kResourceExhausted, "read ", what, ": larger than ", limit, " bytes");
    }
    out.append(buffer.data(), static_cast<size_t>(got));
  }
}

Status WriteAll(int fd, std::string_view data, std::string_view what) {
  while (!data.empty()) {
    const ssize_t wrote = write(fd, data.data(), data.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return FailErrno(errno, "write ", what);
    data.remove_prefix(static_cast<size_t>(wrote));
  }
  return {};
}

Status WriteKernelFile(const Path& path, std::string_view text) {
  ASSIGN_OR_RETURN(UniqueFd fd, Open(path, O_WRONLY));
  return WriteAll(fd.get(), text, path.native());
}

Status WriteFile(const Path& path, std::string_view data, mode_t mode, Durability durability) {
  const Path temporary = path.native() + ".tmp";
  const auto write = [&]() -> Status {
    ASSIGN_OR_RETURN(UniqueFd fd, Open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode));
    // The umask has no say in our own files.
    if (fchmod(fd.get(), mode) != 0) return FailErrno(errno, "chmod ", temporary.native());
    RETURN_IF_ERROR(WriteAll(fd.get(), data, temporary.native()));
    if (durability == Durability::kDurable && fdatasync(fd.get()) != 0)
      return FailErrno(errno, "sync ", temporary.native());
    if (rename(temporary.c_str(), path.c_str()) != 0) return FailErrno(errno, "rename ", temporary.native());
    return {};
  };
  if (Status status = write(); !status) {
    unlink(temporary.c_str());
    return status;
  }
  return durability == Durability::kDurable ? SyncFolder(path.parent_path()) : Status();
}

Status SyncFolder(const Path& path) {
  ASSIGN_OR_RETURN(UniqueFd fd, Open(path.empty() ? Path(".") : path, O_RDONLY | O_DIRECTORY));
  if (fsync(fd.get()) != 0) return FailErrno(errno, "sync ", path.native());
  return {};
}

Status MakeDirs(const Path& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) == 0) return {};
  if (errno == ENOENT && path.has_parent_path() && path.parent_path() != path) {
    RETURN_IF_ERROR(MakeDirs(path.parent_path(), mode));
    if (mkdir(path.c_str(), mode) == 0) return {};
  }
  const int err = errno;
  struct stat info {};
  if (err == EEXIST && stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return {};
  return FailErrno(err, "mkdir ", path.native());
}

namespace {

struct CloseDir {
  void operator()(DIR* dir) const { closedir(dir); }
};
using DirStream = std::unique_ptr<DIR, CloseDir>;

// Depth is an archive's or a container's to choose, so this is a loop with a bound on its descriptors: a thread's stack
// is small, and descriptors are the whole process's.
class TreeRemoval {
 public:
  TreeRemoval(const Path& path, dev_t device) : path_(path), device_(device) {}

  Status Run() {
    Take(AT_FDCWD, path_.native());
    while (!levels_.empty()) {
      DIR* dir = levels_.back().dir.get();
      const dirent* entry = readdir(dir);
      const std::string_view name = entry != nullptr ? entry->d_name : "";
      if (entry == nullptr) {
        if (levels_.size() > 1 || !std::exchange(lifted_, false)) {
          Leave();
        } else {
          rewinddir(dir);
        }
      } else if (name != "." && name != "..") {
        Take(dirfd(dir), std::string(name));
      }
    }
    return std::move(first_);
  }

 private:
  static constexpr size_t kMaxLevels = 100;

  struct Level {
    DirStream dir;
    std::string name;   // in the level above
    bool kept = false;  // something in it could not be removed
  };

  void Take(int parent, std::string name) {
    if (unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return;
    // Linux says EISDIR for a folder, POSIX allows EPERM.
    const int unlink_errno = errno;
    if (errno != EISDIR && errno != EPERM) return Keep(errno, name);
    if (unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return;
    if (errno == ENOTDIR) return Keep(unlink_errno, name);
    if (errno != ENOTEMPTY && errno != EEXIST) return Keep(errno, name);
    UniqueFd fd(openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat info {};
    if (!fd || fstat(fd.get(), &info) != 0) return Keep(errno, name);
    if (info.st_dev != device_) return Keep(EXDEV, name);  // a file system is mounted there
    if (levels_.size() == kMaxLevels) return Lift(parent, name);
    DirStream dir(fdopendir(fd.get()));
    if (!dir) return Keep(errno, name);
    (void)fd.Release();
    levels_.push_back({.dir = std::move(dir), .name = std::move(name)});
  }

  // To the top of the tree, whose entries are then looked at once more.
  void Lift(int parent, const std::string& name) {
    if (renameat(parent, name.c_str(), dirfd(levels_.front().dir.get()), RandomId().c_str()) != 0)
      return Keep(errno, name);
    lifted_ = true;
  }

  void Leave() {
    const Level level = std::move(levels_.back());
    levels_.pop_back();
    const int parent = levels_.empty() ? AT_FDCWD : dirfd(levels_.back().dir.get());
    if (level.kept) {
      if (!levels_.empty()) levels_.back().kept = true;
    } else if (unlinkat(parent, level.name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
      Keep(errno, level.name);
    }
  }

  void Keep(int err, const std::string& name) {
    if (first_) {
      std::string shown;
      for (const Level& level : levels_) shown += level.name + "/";
      first_ = FailErrno(err, "remove ", shown, name);
    }
    if (!levels_.empty()) levels_.back().kept = true;
  }

  const Path& path_;
  const dev_t device_;
  std::vector<Level> levels_;  // one descriptor each
  bool lifted_ = false;        // something came to the top since that was read
  Status first_;
};

}  // namespace

Status RemoveTree(const Path& path) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    return FailErrno(errno, "stat ", path.native());
  }
  return TreeRemoval(path, info.st_dev).Run();
}

Status RemoveFile(const Path& path) {
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  return FailErrno(errno, "remove ", path.native());
}

bool Exists(const Path& path) {
  struct stat info {};
  return lstat(path.c_str(), &info) == 0;
}

Result<std::vector<std::string>> ListFolder(const Path& path) {
  DirStream dir(opendir(path.c_str()));
  if (!dir) return FailErrno(errno, "open ", path.native());
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* entry = readdir(dir.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return FailErrno(errno, "read ", path.native());
  return names;
}

}  // namespace berth::base
