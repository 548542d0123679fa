#include "kernel/foreign_path.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <optional>

#include "base/strings.h"
#include "base/unique_fd.h"
#include "kernel/helper_pool.h"
#include "kernel/mount.h"

namespace berth::kernel {
namespace {

using base::Code;
using base::Context;
using base::Fail;
using base::Path;
using base::Result;
using base::Status;
using base::UniqueFd;

// File systems whose answers come from this machine alone.
constexpr std::array<std::string_view, 26> kLocal = {
    "ext2",    "ext3",     "ext4",       "xfs",     "btrfs",   "f2fs",      "zfs",    "tmpfs", "ramfs",
    "overlay", "squashfs", "erofs",      "vfat",    "iso9660", "devtmpfs",  "devpts", "proc",  "sysfs",
    "cgroup",  "cgroup2",  "securityfs", "debugfs", "tracefs", "hugetlbfs", "mqueue", "bpf"};

// As long as it takes: the caller's context is what ends it.
constexpr std::chrono::hours kRelabelLimit{24};

bool IsLocal(const MountPoint& mount) {
  return std::find(kLocal.begin(), kLocal.end(), mount.type) != kLocal.end();
}

std::optional<ForeignPath::Kind> KindOf(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return ForeignPath::Kind::kFolder;
    case S_IFREG:
      return ForeignPath::Kind::kFile;
    case S_IFBLK:
      return ForeignPath::Kind::kBlockDevice;
    case S_IFCHR:
      return ForeignPath::Kind::kCharDevice;
    case S_IFIFO:
      return ForeignPath::Kind::kFifo;
    case S_IFSOCK:
      return ForeignPath::Kind::kSocket;
    default:
      return std::nullopt;
  }
}

// The name the kernel has for what is open. Nothing when it has none below our root, or when it was removed.
std::optional<Path> NameOf(int fd) {
  char link[32];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  std::array<char, PATH_MAX> name;
  const ssize_t length = readlink(link, name.data(), name.size());
  if (length <= 0 || static_cast<size_t>(length) == name.size() || name[0] != '/') return std::nullopt;
  return Path(std::string_view(name.data(), static_cast<size_t>(length)));
}

std::optional<ForeignPath> Describe(int fd) {
  struct statx info {};
  if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &info) != 0 || info.stx_nlink == 0)
    return std::nullopt;
  const auto kind = KindOf(info.stx_mode);
  auto name = NameOf(fd);
  if (!kind || !name) return std::nullopt;
  return ForeignPath{.resolved = *std::move(name),
                     .exists = true,
                     .kind = *kind,
                     .rdev = makedev(info.stx_rdev_major, info.stx_rdev_minor),
                     .mode = info.stx_mode & 07777U,
                     .uid = info.stx_uid,
                     .gid = info.stx_gid};
}

int OpenCached(int dir, const char* path, uint64_t resolve) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_CACHED | resolve;
  return static_cast<int>(syscall(SYS_openat2, dir, path, &how, sizeof how));
}

// What the kernel knows without asking anybody; nothing when it does not. RESOLVE_CACHED alone is not enough: the root
// of an NFS mount is revalidated with the server even so. So no other mount may be entered on the way.
std::optional<ForeignPath> Cached(int dir, const char* path, const Path& shown) {
  const UniqueFd fd(OpenCached(dir, path, RESOLVE_NO_XDEV));
  if (fd) return Describe(fd.get());
  if (errno == ENOENT) return ForeignPath{.resolved = shown};
  return std::nullopt;
}

// The same, beginning at a mount of a local file system.
std::optional<ForeignPath> CachedBelow(const MountPoint& mount, const Path& path) {
  // The list of mounts was searched by name, and ".." after a link is not what the name says.
  if (std::any_of(path.begin(), path.end(), [](const Path& part) { return part == ".."; })) return std::nullopt;
  const UniqueFd anchor(OpenCached(AT_FDCWD, mount.target.c_str(), RESOLVE_NO_SYMLINKS));
  if (!anchor) return std::nullopt;
  struct statx info {};
  if (statx(anchor.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &info) != 0 ||
      info.stx_mnt_id != static_cast<uint64_t>(mount.id)) {
    return std::nullopt;
  }
  const std::string rest = path.native().substr(mount.target == "/" ? 0 : mount.target.native().size());
  const size_t start = rest.find_first_not_of('/');
  return Cached(anchor.get(), start == std::string::npos ? "." : rest.c_str() + start, path);
}

// What a call on `path` may hang on. The mount, if it is one that can; for a path on local ground it is a link on the
// way that leads elsewhere, so the path stands for itself.
std::string PlaceOf(const MountPoint* mount, const Path& path) {
  if (mount == nullptr) return path.native();
  if (IsLocal(*mount)) return base::Cat(mount->id, ":", path.native());
  return base::Cat("mount ", mount->id, " (", mount->type, " on ", mount->target.native(), ")");
}

Status CheckPath(const Path& path) {
  const std::string& text = path.native();
  if (path.is_absolute() && text.size() < PATH_MAX && text.find('\0') == std::string::npos) return {};
  return Fail(Code::kInvalidArgument, "path ", text.substr(0, PATH_MAX), ": not an absolute path");
}

Result<ForeignPath> ParseAnswer(std::string_view answer, const Path& path) {
  const auto odd = [&] {
    return Fail(Code::kInternal, "inspect ", path.native(), ": berth-helper gave no proper answer");
  };
  if (answer == "none\n") return ForeignPath{.resolved = path};
  if (!answer.ends_with('\n')) return odd();
  const std::string text(answer.substr(0, answer.size() - 1));
  int err = 0;
  if (sscanf(text.c_str(), "error %d", &err) == 1) {
    base::Error error = base::FailErrno(err, "inspect ", path.native()).value();
    if (err == ENOTDIR || err == ELOOP || err == ENAMETOOLONG) error.code = Code::kInvalidArgument;
    return tl::make_unexpected(std::move(error));
  }
  unsigned mode = 0;
  unsigned high = 0;
  unsigned low = 0;
  ForeignPath found{.exists = true};
  int used = 0;
  if (sscanf(text.c_str(), "ok %o %u %u %u %u%n", &mode, &found.uid, &found.gid, &high, &low, &used) != 5) return odd();
  const auto kind = KindOf(mode);
  const std::string name = text.substr(std::min(text.size(), static_cast<size_t>(used) + 1));
  if (!kind || !name.starts_with('/')) return odd();
  found.kind = *kind;
  found.mode = mode & 07777U;
  found.rdev = makedev(high, low);
  found.resolved = name;
  return found;
}

}  // namespace

struct ForeignPaths::State {
  explicit State(Options options) : pool(std::move(options)) {}

  Result<ForeignPath> Ask(std::vector<std::string> arguments, const MountPoint* mount, const Path& path,
                          const Context& context) {
    ASSIGN_OR_RETURN(const std::string answer, pool.Run(std::move(arguments), PlaceOf(mount, path), context),
                     "inspect ", path.native());
    return ParseAnswer(answer, path);
  }

  internal::HelperPool pool;
};

ForeignPaths::ForeignPaths(Options options) : state_(std::make_unique<State>(std::move(options))) {}
ForeignPaths::~ForeignPaths() = default;

Result<ForeignPath> ForeignPaths::Inspect(const Path& path, const Context& context) {
  RETURN_IF_ERROR(CheckPath(path));
  // The root file system is trusted: when that hangs, so do we.
  if (auto found = Cached(AT_FDCWD, path.c_str(), path)) return *std::move(found);
  ASSIGN_OR_RETURN(const auto mounts, Mounts());
  const MountPoint* mount = MountOf(mounts, path);
  if (mount != nullptr && IsLocal(*mount)) {
    if (auto found = CachedBelow(*mount, path)) return *std::move(found);
  }
  return state_->Ask({"inspect", path.native()}, mount, path, context);
}

Result<ForeignPath> ForeignPaths::EnsureFolder(const Path& path, mode_t mode, const Context& context) {
  ASSIGN_OR_RETURN(ForeignPath found, Inspect(path, context));
  if (found.exists) return found;
  ASSIGN_OR_RETURN(const auto mounts, Mounts());
  char octal[16];
  snprintf(octal, sizeof octal, "%o", mode & 07777U);
  return state_->Ask({"mkdirs", octal, path.native()}, MountOf(mounts, path), path, context);
}

Status ForeignPaths::Bind(const Path& path, const Path& target, const Path& space, const Context& context) {
  RETURN_IF_ERROR(CheckPath(path));
  ASSIGN_OR_RETURN(const auto mounts, Mounts());
  RETURN_IF_ERROR(
      state_->Ask({"bind", space.native(), target.native(), path.native()}, MountOf(mounts, path), path, context),
      "bind");
  return {};
}

Status ForeignPaths::Relabel(const Path& path, const std::string& label, const Context& context) {
  RETURN_IF_ERROR(CheckPath(path));
  ASSIGN_OR_RETURN(const auto mounts, Mounts());
  const auto answer =
      state_->pool.Run({"relabel", label, path.native()}, PlaceOf(MountOf(mounts, path), path), context, kRelabelLimit);
  if (!answer) return tl::make_unexpected(answer.error());
  RETURN_IF_ERROR(ParseAnswer(*answer, path), "label");
  return {};
}

size_t ForeignPaths::StuckHelpers() {
  return state_->pool.Stuck();
}
uint64_t ForeignPaths::AbandonedHelpers() {
  return state_->pool.Abandoned();
}

}  // namespace berth::kernel
