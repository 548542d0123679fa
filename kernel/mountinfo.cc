#include "kernel/mount.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/strings.h"

namespace berth::kernel {
namespace {

using base::Code;
using base::Path;
using base::Result;

// Overlays of many layers make lines of ten kilobytes; a full node has some hundreds of them.
constexpr size_t kMountInfoLimit = 64 << 20;

bool IsOctal(char c) {
  return c >= '0' && c <= '7';
}

// The kernel writes blanks, tabs, newlines, backslashes and "#" as a backslash and three octal digits.
std::string Unescape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && text.size() - i > 3 && IsOctal(text[i + 1]) && IsOctal(text[i + 2]) &&
        IsOctal(text[i + 3])) {
      out.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0')));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

std::optional<int> ParseId(std::string_view text) {
  const auto number = base::ParseInt(text);
  if (!number || *number < 0 || *number > INT32_MAX) return std::nullopt;
  return static_cast<int>(*number);
}

std::optional<dev_t> ParseDevice(std::string_view text) {
  const auto parts = base::Split(text, ':');
  if (parts.size() != 2) return std::nullopt;
  const auto high = ParseId(parts[0]);
  const auto low = ParseId(parts[1]);
  if (!high || !low) return std::nullopt;
  return makedev(static_cast<unsigned>(*high), static_cast<unsigned>(*low));
}

// "shared:7" and "master:3"; other optional fields ("propagate_from:", "unbindable", future ones) say nothing to us.
bool ReadOptionalField(std::string_view field, MountPoint& mount) {
  const size_t colon = field.find(':');
  const std::string_view tag = field.substr(0, colon);
  if (colon == std::string_view::npos || (tag != "shared" && tag != "master")) return true;
  const auto group = ParseId(field.substr(colon + 1));
  if (!group) return false;
  (tag == "shared" ? mount.shared : mount.master) = *group;
  return true;
}

std::optional<MountPoint> ParseLine(std::string_view line) {
  const auto fields = base::Split(line, ' ');
  if (fields.size() < 10) return std::nullopt;
  const auto separator = std::find(fields.begin() + 6, fields.end(), "-");
  if (fields.end() - separator < 4) return std::nullopt;
  const auto id = ParseId(fields[0]);
  const auto parent = ParseId(fields[1]);
  const auto device = ParseDevice(fields[2]);
  if (!id || !parent || !device || !fields[4].starts_with('/')) return std::nullopt;
  MountPoint mount{.id = *id, .parent = *parent, .device = *device, .root = Unescape(fields[3])};
  mount.target = Unescape(fields[4]);
  mount.options = fields[5];
  for (auto field = fields.begin() + 6; field != separator; ++field) {
    if (!ReadOptionalField(*field, mount)) return std::nullopt;
  }
  mount.type = Unescape(separator[1]);
  mount.source = Unescape(separator[2]);
  mount.super_options = Unescape(separator[3]);
  return mount;
}

bool LiesIn(std::string_view path, std::string_view folder) {
  if (folder == "/") return true;
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

const MountPoint* RootOf(const std::vector<MountPoint>& mounts) {
  for (const MountPoint& mount : mounts) {
    const bool parent_listed = std::any_of(mounts.begin(), mounts.end(), [&](const MountPoint& other) {
      return other.id == mount.parent && other.id != mount.id;
    });
    if (mount.target == "/" && !parent_listed) return &mount;
  }
  return nullptr;
}

}  // namespace

Result<std::vector<MountPoint>> ParseMountInfo(std::string_view text) {
  std::vector<MountPoint> mounts;
  size_t number = 0;
  for (const std::string_view line : base::Split(text, '\n')) {
    ++number;
    if (line.empty()) continue;
    auto mount = ParseLine(line);
    if (!mount) return base::Fail(Code::kInternal, "mountinfo line ", number, ": unexpected form");
    mounts.push_back(*std::move(mount));
  }
  return mounts;
}

Result<std::vector<MountPoint>> Mounts() {
  // thread-self: a thread that left the mount namespace must see its own.
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile("/proc/thread-self/mountinfo", kMountInfoLimit));
  return ParseMountInfo(text);
}

const MountPoint* MountOf(const std::vector<MountPoint>& mounts, const Path& path) {
  // Down the tree of mounts and not by the longest name: a mount on an upper folder hides those made below it before.
  const MountPoint* at = RootOf(mounts);
  for (size_t steps = 0; at != nullptr && steps < mounts.size(); ++steps) {
    const MountPoint* next = nullptr;
    for (const MountPoint& mount : mounts) {
      if (mount.parent != at->id || mount.id == at->id || !LiesIn(path.native(), mount.target.native())) continue;
      if (next == nullptr || mount.target.native().size() < next->target.native().size()) next = &mount;
    }
    if (next == nullptr) break;
    at = next;
  }
  return at;
}

Result<Propagation> PropagationOf(const Path& path) {
  if (!path.is_absolute()) return base::Fail(Code::kInvalidArgument, "path ", path.native(), ": not absolute");
  ASSIGN_OR_RETURN(const auto mounts, Mounts());
  const MountPoint* mount = MountOf(mounts, path);
  if (mount == nullptr) return base::Fail(Code::kInternal, "mount of ", path.native(), ": no root in mountinfo");
  return Propagation{.mount = mount->target, .shared = mount->shared != 0, .slave = mount->master != 0};
}

Result<bool> IsMountPoint(const Path& path) {
  struct statx info {};
  if (statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_TYPE, &info) !=
      0) {
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return base::FailErrno(errno, "stat ", path.native());
  }
  if ((info.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) == 0) {
    return base::Fail(Code::kUnimplemented, "is ", path.native(), " a mount point: the kernel is older than 5.8");
  }
  return (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

}  // namespace berth::kernel
