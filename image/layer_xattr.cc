#include "image/layer_xattr.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/strings.h"

namespace berth::image {

using base::Code;
using base::Fail;
using base::FailErrno;
using base::Result;
using base::Status;

namespace {

constexpr size_t kMaxListBytes = 64 << 10;  // XATTR_LIST_MAX

bool MayBeLeftOut(int err, std::string_view name) {
  if (err == ENOTSUP) return true;
  if (name == "security.selinux") return err == EPERM || err == EINVAL || err == EACCES;
  // user.* exists on files and folders alone.
  return name.starts_with("user.") && err == EPERM;
}

}  // namespace

bool IsOverlayXattr(std::string_view name) {
  return name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.");
}

Result<Xattrs> ReadXattrs(const std::string& path) {
  std::string list(kMaxListBytes, '\0');
  const ssize_t size = llistxattr(path.c_str(), list.data(), list.size());
  if (size < 0 && errno == ENOTSUP) return Xattrs{};
  if (size < 0) return FailErrno(errno, "list attributes of ", path);
  list.resize(static_cast<size_t>(size));
  Xattrs xattrs;
  for (const std::string_view piece : base::Split(list, '\0')) {
    if (piece.empty() || IsOverlayXattr(piece)) continue;
    const std::string name(piece);
    std::string value(kMaxXattrBytes, '\0');
    const ssize_t got = lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    if (got < 0 && errno == ENODATA) continue;
    if (got < 0) return FailErrno(errno, "read attribute ", name, " of ", path);
    value.resize(static_cast<size_t>(got));
    xattrs.emplace_back(name, std::move(value));
  }
  return xattrs;
}

Status SetXattrs(int fd, const std::string& path, const Xattrs& xattrs) {
  for (const auto& [name, value] : xattrs) {
    if (IsOverlayXattr(name)) continue;
    if (value.size() > kMaxXattrBytes || name.size() > 255) {
      return Fail(Code::kInvalidArgument, "attribute of ", path, " is too large");
    }
    const int result = fd >= 0 ? fsetxattr(fd, name.c_str(), value.data(), value.size(), 0)
                               : lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0);
    if (result != 0 && !MayBeLeftOut(errno, name)) return FailErrno(errno, "set attribute ", name, " of ", path);
  }
  return {};
}

Status SetOpaque(const std::string& path) {
  if (lsetxattr(path.c_str(), std::string(kOpaqueXattr).c_str(), "y", 1, 0) == 0) return {};
  return FailErrno(errno, "make opaque: ", path);
}

bool IsOpaque(const std::string& path) {
  char value = 0;
  return lgetxattr(path.c_str(), std::string(kOpaqueXattr).c_str(), &value, 1) == 1 && value == 'y';
}

Status CopyMetadata(const std::string& from, const std::string& to) {
  struct stat info {};
  if (lstat(from.c_str(), &info) != 0) return FailErrno(errno, "stat ", from);
  if (lchown(to.c_str(), info.st_uid, info.st_gid) != 0) return FailErrno(errno, "chown ", to);
  if (!S_ISLNK(info.st_mode)) {
    if (chmod(to.c_str(), info.st_mode & 07777) != 0) return FailErrno(errno, "chmod ", to);
    ASSIGN_OR_RETURN(const Xattrs xattrs, ReadXattrs(from));
    RETURN_IF_ERROR(SetXattrs(-1, to, xattrs));
  }
  const std::array<timespec, 2> times{info.st_atim, info.st_mtim};
  if (utimensat(AT_FDCWD, to.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0)
    return FailErrno(errno, "set times of ", to);
  return {};
}

}  // namespace berth::image
