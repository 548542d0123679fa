#include "kernel/mount.h"

#include <fcntl.h>
#include <sys/mount.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/unique_fd.h"

namespace berth::kernel {
namespace {

using base::FailErrno;
using base::Path;
using base::Status;
using base::UniqueFd;

// More than one mount on the same place comes from a crash between a mount and its record, and then it is a handful.
constexpr int kMaxStacked = 64;

uint64_t Attributes(MountFlags flags) {
  uint64_t out = 0;
  if (flags.read_only) out |= MOUNT_ATTR_RDONLY;
  if (flags.no_suid) out |= MOUNT_ATTR_NOSUID;
  if (flags.no_dev) out |= MOUNT_ATTR_NODEV;
  if (flags.no_exec) out |= MOUNT_ATTR_NOEXEC;
  return out;
}

unsigned long CallFlags(MountFlags flags) {
  unsigned long out = 0;
  if (flags.read_only) out |= MS_RDONLY;
  if (flags.no_suid) out |= MS_NOSUID;
  if (flags.no_dev) out |= MS_NODEV;
  if (flags.no_exec) out |= MS_NOEXEC;
  return out;
}

// The copy gets its flags while nobody can see it, so there is no moment in which it is writable.
Status BindTree(int dir, const char* source, unsigned open_flags, const Path& target, Recursion recursion,
                MountFlags flags, const std::string& what) {
  const unsigned recursive = recursion == Recursion::kAllBelow ? unsigned{AT_RECURSIVE} : 0U;
  UniqueFd tree(open_tree(dir, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive | open_flags));
  if (!tree) return FailErrno(errno, what, ": copy");
  struct mount_attr attributes {};
  attributes.attr_set = Attributes(flags);
  if (attributes.attr_set != 0 &&
      mount_setattr(tree.get(), "", AT_EMPTY_PATH | recursive, &attributes, sizeof attributes) != 0) {
    return FailErrno(errno, what, ": set flags");
  }
  if (move_mount(tree.get(), "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) return FailErrno(errno, what);
  return {};
}

}  // namespace

Status BindMount(const Path& source, const Path& target, Recursion recursion, MountFlags flags) {
  return BindTree(AT_FDCWD, source.c_str(), 0, target, recursion, flags,
                  base::Cat("bind ", source.native(), " on ", target.native()));
}

Status BindMountFd(int source_fd, const Path& target, Recursion recursion, MountFlags flags) {
  return BindTree(source_fd, "", AT_EMPTY_PATH, target, recursion, flags,
                  base::Cat("bind descriptor ", source_fd, " on ", target.native()));
}

Status MountTmpfs(const Path& target, uint64_t size_bytes, mode_t mode, MountFlags flags) {
  char data[64];
  snprintf(data, sizeof data, "size=%llu,mode=%o", static_cast<unsigned long long>(size_bytes), mode & 07777U);
  if (mount("tmpfs", target.c_str(), "tmpfs", CallFlags(flags), data) != 0) {
    return FailErrno(errno, "mount tmpfs on ", target.native());
  }
  return {};
}

Status Unmount(const Path& path) {
  for (int i = 0; i < kMaxStacked; ++i) {
    if (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) continue;
    // EINVAL: not a mount point (or a link, on which nothing can be mounted).
    if (errno == EINVAL || errno == ENOENT || errno == ENOTDIR) return {};
    return FailErrno(errno, "unmount ", path.native());
  }
  return base::Fail(base::Code::kInternal, "unmount ", path.native(), ": still mounted after ", kMaxStacked, " times");
}

Status UnmountBelow(const Path& prefix) {
  ASSIGN_OR_RETURN(auto mounts, Mounts(), "unmount below ", prefix.native());
  std::string start = prefix.native();
  while (start.ends_with('/')) start.pop_back();
  start.push_back('/');
  Status first;
  // A mount is listed after the one it is mounted on.
  std::reverse(mounts.begin(), mounts.end());
  for (const MountPoint& mount : mounts) {
    if (!mount.target.native().starts_with(start) || mount.target.native().size() == start.size()) continue;
    Status status = Unmount(mount.target);
    if (!status && first) first = std::move(status);
  }
  return first;
}

Mount& Mount::operator=(Mount&& other) noexcept {
  if (this != &other) {
    const Mount old(std::move(*this));
    target_ = std::exchange(other.target_, {});
  }
  return *this;
}

Mount::~Mount() {
  const Status ignored = Close();
  (void)ignored;
}

Status Mount::Close() {
  if (target_.empty()) return {};
  RETURN_IF_ERROR(Unmount(target_));
  target_.clear();
  return {};
}

Path Mount::Release() {
  return std::exchange(target_, {});
}

}  // namespace berth::kernel
