#include "image/shift.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/limits.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <map>
#include <vector>

#include "image/file_copy.h"
#include "image/layer_path.h"
#include "image/layer_xattr.h"

namespace berth::image {

using base::FailErrno;
using base::Path;
using base::Result;
using base::Status;

namespace {

// What the kernel shows for an id that a namespace does not have.
constexpr uint32_t kNobody = 65534;

uint32_t ReadLe32(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return le32toh(value);
}

void WriteLe32(std::string& bytes, size_t at, uint32_t value) {
  value = htole32(value);
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

class ShiftedCopy {
 public:
  ShiftedCopy(const Path& from, const Path& to, const kernel::UserMap& map, const base::Context& context)
      : from_(from.native()), to_(to.native()), map_(map), context_(context) {}

  // Not recursive: the depth is an archive's to choose, and a thread's stack is small.
  Result<ShiftedTree> Run() {
    RETURN_IF_ERROR(EnterFolder(""));
    while (!levels_.empty()) {
      Level& level = levels_.back();
      if (level.next < level.names.size()) {
        RETURN_IF_ERROR(CopyOne(JoinLayerPath(level.path, level.names[level.next++])));
        continue;
      }
      // Last: what is made in a folder changes its time.
      RETURN_IF_ERROR(CopyMetadata(level.path));
      levels_.pop_back();
    }
    return out_;
  }

 private:
  struct Level {
    std::string path;
    std::vector<std::string> names;
    size_t next = 0;
  };

  std::string From(const std::string& path) const { return path.empty() ? from_ : from_ + "/" + path; }
  std::string To(const std::string& path) const { return path.empty() ? to_ : to_ + "/" + path; }

  Status EnterFolder(const std::string& path) {
    if (mkdir(To(path).c_str(), 0700) != 0) return FailErrno(errno, "mkdir ", To(path));
    if (!path.empty()) out_.bytes += 4096;
    ++out_.inodes;
    ASSIGN_OR_RETURN(auto names, base::ListFolder(From(path)));
    levels_.push_back({.path = path, .names = std::move(names)});
    return {};
  }

  Status CopyOne(const std::string& path) {
    RETURN_IF_ERROR(context_.Check("copy layer"));
    struct stat info {};
    if (lstat(From(path).c_str(), &info) != 0) return FailErrno(errno, "stat ", From(path));
    if (S_ISDIR(info.st_mode)) return EnterFolder(path);
    if (info.st_nlink > 1) {
      const auto [first, fresh] = links_.emplace(info.st_ino, path);
      if (!fresh) {
        if (link(To(first->second).c_str(), To(path).c_str()) != 0) return FailErrno(errno, "link ", To(path));
        ++out_.links;
        return {};
      }
    }
    ++out_.inodes;
    if (S_ISREG(info.st_mode)) {
      RETURN_IF_ERROR(CopyContent(From(path), To(path), context_));
      out_.bytes += static_cast<uint64_t>(info.st_blocks) * 512;
    } else if (S_ISLNK(info.st_mode)) {
      RETURN_IF_ERROR(CopyLink(path));
    } else if (mknod(To(path).c_str(), (info.st_mode & S_IFMT) | 0600, info.st_rdev) != 0) {
      return FailErrno(errno, "mknod ", To(path));
    }
    return CopyMetadata(path);
  }

  Status CopyLink(const std::string& path) {
    std::array<char, PATH_MAX> target{};
    const ssize_t size = readlink(From(path).c_str(), target.data(), target.size() - 1);
    if (size < 0) return FailErrno(errno, "read link ", From(path));
    target.at(static_cast<size_t>(size)) = '\0';
    if (symlink(target.data(), To(path).c_str()) != 0) return FailErrno(errno, "symlink ", To(path));
    return {};
  }

  Status CopyMetadata(const std::string& path) {
    const std::string from = From(path);
    const std::string to = To(path);
    struct stat info {};
    if (lstat(from.c_str(), &info) != 0) return FailErrno(errno, "stat ", from);
    if (lchown(to.c_str(), ShiftId(info.st_uid, map_.uids), ShiftId(info.st_gid, map_.gids)) != 0) {
      return FailErrno(errno, "chown ", to);
    }
    if (!S_ISLNK(info.st_mode)) {
      // After the owner: chown takes set-id bits and capabilities away.
      if (chmod(to.c_str(), info.st_mode & 07777) != 0) return FailErrno(errno, "chmod ", to);
      ASSIGN_OR_RETURN(Xattrs xattrs, ReadXattrs(from));
      RETURN_IF_ERROR(SetXattrs(-1, to, ShiftXattrs(std::move(xattrs))));
      if (S_ISDIR(info.st_mode) && IsOpaque(from)) RETURN_IF_ERROR(SetOpaque(to));
    }
    const std::array<timespec, 2> times{info.st_atim, info.st_mtim};
    if (utimensat(AT_FDCWD, to.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0)
      return FailErrno(errno, "set times of ", to);
    return {};
  }

  Xattrs ShiftXattrs(Xattrs xattrs) const {
    Xattrs out;
    for (auto& [name, value] : xattrs) {
      if (name == "security.capability") {
        if (auto shifted = ShiftCapability(value, map_.uids)) out.emplace_back(name, *std::move(shifted));
      } else if (name.starts_with("system.posix_acl_")) {
        out.emplace_back(name, ShiftAcl(std::move(value), map_));
      } else {
        out.emplace_back(name, std::move(value));
      }
    }
    return out;
  }

  const std::string from_;
  const std::string to_;
  const kernel::UserMap map_;
  const base::Context& context_;
  std::vector<Level> levels_;
  std::map<ino_t, std::string> links_;  // where a file with several names was copied to
  ShiftedTree out_;
};

}  // namespace

uint32_t ShiftId(uint32_t id, kernel::IdRange range) {
  if (id < range.size) return range.host + id;
  const bool taken = kNobody >= range.host && kNobody - range.host < range.size;
  return taken ? UINT32_MAX - 1 : kNobody;
}

// struct vfs_ns_cap_data: flags, two pairs of masks, the root's id.
std::optional<std::string> ShiftCapability(std::string_view value, kernel::IdRange uids) {
  if (value.size() < XATTR_CAPS_SZ_1) return std::nullopt;
  const uint32_t magic = ReadLe32(value, 0);
  const uint32_t revision = magic & VFS_CAP_REVISION_MASK;
  const uint32_t root =
      revision == VFS_CAP_REVISION_3 && value.size() >= XATTR_CAPS_SZ_3 ? ReadLe32(value, XATTR_CAPS_SZ_2) : 0;
  if (root >= uids.size) return std::nullopt;
  const size_t masks = revision == VFS_CAP_REVISION_1 ? XATTR_CAPS_SZ_1 : XATTR_CAPS_SZ_2;
  if (value.size() < masks) return std::nullopt;
  std::string out(value.substr(0, masks));
  out.resize(XATTR_CAPS_SZ_3, '\0');
  WriteLe32(out, 0, VFS_CAP_REVISION_3 | (magic & VFS_CAP_FLAGS_MASK));
  WriteLe32(out, XATTR_CAPS_SZ_2, uids.host + root);
  return out;
}

std::string ShiftAcl(std::string value, const kernel::UserMap& map) {
  constexpr size_t kHeader = sizeof(posix_acl_xattr_header);
  constexpr size_t kEntry = sizeof(posix_acl_xattr_entry);
  if (value.size() < kHeader || ReadLe32(value, 0) != POSIX_ACL_XATTR_VERSION) return value;
  for (size_t at = kHeader; at + kEntry <= value.size(); at += kEntry) {
    const uint32_t tag = ReadLe32(value, at) & 0xffff;
    const size_t id_at = at + offsetof(posix_acl_xattr_entry, e_id);
    if (tag != ACL_USER && tag != ACL_GROUP) continue;
    WriteLe32(value, id_at, ShiftId(ReadLe32(value, id_at), tag == ACL_USER ? map.uids : map.gids));
  }
  return value;
}

Result<ShiftedTree> CopyShifted(const Path& from, const Path& to, const kernel::UserMap& map,
                                const base::Context& context) {
  ASSIGN_OR_RETURN(const ShiftedTree out, ShiftedCopy(from, to, map, context).Run(), "copy ", from.native());
  return out;
}

}  // namespace berth::image
