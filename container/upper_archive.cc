#include "container/upper_archive.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <map>
#include <set>

#include "base/strings.h"
#include "image/layer_xattr.h"
#include "image/merged_view.h"

namespace berth::container {
namespace {

using base::Code;
using base::Fail;
using image::TarEntry;

constexpr size_t kMaxDepth = 500;  // each level holds a descriptor
constexpr size_t kMaxHidden = 1'000'000;
constexpr uint64_t kMaxHoles = uint64_t{1} << 30;

// A folder's names, sorted.
base::Result<std::vector<std::string>> NamesIn(int folder) {
  base::UniqueFd own(openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!own) return base::FailErrno(errno, "open folder of the container");
  DIR* stream = fdopendir(own.get());
  if (stream == nullptr) return base::FailErrno(errno, "read folder of the container");
  (void)own.Release();
  std::vector<std::string> names;
  while (const dirent* entry = readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  closedir(stream);
  std::ranges::sort(names);
  return names;
}

// Of an O_PATH descriptor, whose own path is the only way to them.
base::Result<std::string> Xattr(const std::string& path, const std::string& name) {
  std::string value(image::kMaxXattrBytes, '\0');
  const ssize_t size = getxattr(path.c_str(), name.c_str(), value.data(), value.size());
  if (size < 0) return base::FailErrno(errno, "read attribute ", name);
  value.resize(static_cast<size_t>(size));
  return value;
}

struct Attributes {
  image::Xattrs kept;
  bool opaque = false;
};
base::Result<Attributes> AttributesOf(int fd, const std::string& shown) {
  const std::string path = base::Cat("/proc/self/fd/", fd);
  Attributes out;
  std::string list(64 << 10, '\0');
  const ssize_t size = listxattr(path.c_str(), list.data(), list.size());
  if (size < 0) {
    if (errno == ENOTSUP || errno == ENOENT) return out;
    return base::FailErrno(errno, "list attributes of ", shown);
  }
  list.resize(static_cast<size_t>(size));
  for (const std::string_view name : base::Split(list, '\0')) {
    if (name.ends_with("overlay.redirect") || name.ends_with("overlay.metacopy")) {
      return Fail(Code::kUnimplemented, shown, " was moved or changed in a way that only overlayfs can follow (", name,
                  ")");
    }
    if (name == image::kOpaqueXattr) out.opaque = true;
    if (!name.starts_with("user.") && name != "security.capability") continue;
    if (image::IsOverlayXattr(name)) continue;
    if (auto value = Xattr(path, std::string(name))) out.kept.emplace_back(name, *std::move(value));
  }
  return out;
}

class Walk {
 public:
  Walk(const std::vector<base::Path>& lower, image::TarWriter& out, const base::Context& context)
      : below_(lower), out_(out), context_(context) {}

  // Not recursive: the container chooses the depth, and a thread's stack is small.
  base::Status All(base::UniqueFd root) {
    RETURN_IF_ERROR(Enter(std::move(root), ""));
    while (!open_.empty()) {
      RETURN_IF_ERROR(context_.Check("archive of the container's files"));
      Level& level = open_.back();
      if (level.next == level.names.size()) {
        open_.pop_back();
        continue;
      }
      const std::string name = level.names[level.next++];
      RETURN_IF_ERROR(One(level.folder.get(), name, level.path.empty() ? name : level.path + "/" + name));
    }
    return {};
  }

  std::vector<std::string> hidden;

 private:
  struct Level {
    base::UniqueFd folder;
    std::string path;
    std::vector<std::string> names;
    size_t next = 0;
  };

  base::Status Enter(base::UniqueFd folder, const std::string& path) {
    if (open_.size() > kMaxDepth)
      return Fail(Code::kResourceExhausted, "/", path, ": folders are nested deeper than ", kMaxDepth);
    ASSIGN_OR_RETURN(auto names, NamesIn(folder.get()));
    open_.push_back({.folder = std::move(folder), .path = path, .names = std::move(names)});
    return {};
  }

  base::Status One(int folder, const std::string& name, const std::string& path) {
    const base::UniqueFd node(openat(folder, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!node) return Gone(path);
    struct stat info {};
    if (fstatat(node.get(), "", &info, AT_EMPTY_PATH) != 0) return base::FailErrno(errno, "stat /", path);
    if (S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0)) return Hide("/" + path);
    if (S_ISSOCK(info.st_mode)) return {};
    TarEntry entry;
    entry.name = path;
    entry.mode = info.st_mode & 07777;
    entry.uid = info.st_uid;
    entry.gid = info.st_gid;
    entry.mtime = info.st_mtim;
    ASSIGN_OR_RETURN(Attributes attributes, AttributesOf(node.get(), "/" + path));
    entry.xattrs = std::move(attributes.kept);
    if (S_ISDIR(info.st_mode)) {
      entry.type = TarEntry::Type::kFolder;
      RETURN_IF_ERROR(out_.Add(entry));
      base::UniqueFd inner(openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!inner) return Gone(path);
      if (attributes.opaque) RETURN_IF_ERROR(HideBelow(inner.get(), path));
      return Enter(std::move(inner), path);
    }
    if (info.st_nlink > 1) {
      const auto [first, fresh] = links_.try_emplace({info.st_dev, info.st_ino}, path);
      if (!fresh) {
        entry.type = TarEntry::Type::kHardLink;
        entry.link = first->second;
        return out_.Add(entry);
      }
    }
    if (S_ISREG(info.st_mode)) return File(folder, name, entry);
    return Special(node.get(), info, entry);
  }

  base::Status File(int folder, const std::string& name, TarEntry& entry) {
    const base::UniqueFd file(openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file) return Gone(entry.name);
    struct stat info {};
    if (fstat(file.get(), &info) != 0) return base::FailErrno(errno, "stat /", entry.name);
    if (!S_ISREG(info.st_mode)) return {};  // another thing by now
    entry.size = static_cast<uint64_t>(info.st_size);
    // The archive has room for holes only as zeros.
    if (entry.size > static_cast<uint64_t>(info.st_blocks) * 512 + kMaxHoles)
      return Fail(Code::kUnimplemented, "/", entry.name, " has holes of more than ", kMaxHoles, " bytes");
    return out_.AddFile(entry, file.get());
  }

  base::Status Special(int node, const struct stat& info, TarEntry& entry) {
    if (S_ISLNK(info.st_mode)) {
      entry.type = TarEntry::Type::kSymlink;
      std::string target(PATH_MAX, '\0');
      const ssize_t size = readlinkat(node, "", target.data(), target.size());
      if (size < 0) return base::FailErrno(errno, "read link /", entry.name);
      entry.link = target.substr(0, static_cast<size_t>(size));
    } else if (S_ISFIFO(info.st_mode)) {
      entry.type = TarEntry::Type::kFifo;
    } else {
      entry.type = S_ISCHR(info.st_mode) ? TarEntry::Type::kCharDevice : TarEntry::Type::kBlockDevice;
      entry.device_major = major(info.st_rdev);
      entry.device_minor = minor(info.st_rdev);
    }
    return out_.Add(entry);
  }

  // An opaque folder hides all of the same name below it.
  base::Status HideBelow(int folder, const std::string& path) {
    ASSIGN_OR_RETURN(const auto found, below_.Find(path));
    if (!found || !S_ISDIR(found->info.st_mode)) return {};
    ASSIGN_OR_RETURN(const auto own, NamesIn(folder));
    std::set<std::string> names;
    for (const size_t layer : found->layers) {
      ASSIGN_OR_RETURN(const auto here, base::ListFolder(below_.PathIn(layer, path)));
      names.insert(here.begin(), here.end());
    }
    for (const std::string& name : names) {
      if (std::ranges::binary_search(own, name)) continue;
      const std::string lower = path + "/" + name;
      ASSIGN_OR_RETURN(const auto shown, below_.Find(lower));
      if (shown) RETURN_IF_ERROR(Hide("/" + lower));
    }
    return {};
  }

  base::Status Hide(std::string path) {
    if (hidden.size() >= kMaxHidden)
      return Fail(Code::kResourceExhausted, "the container has removed more than ", kMaxHidden, " files");
    hidden.push_back(std::move(path));
    return {};
  }

  static base::Status Gone(const std::string& path) {
    // Removed, or another thing by now: the container runs.
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == ENXIO) return {};
    return base::FailErrno(errno, "open /", path);
  }

  image::MergedView below_;
  image::TarWriter& out_;
  const base::Context& context_;
  std::vector<Level> open_;  // the root first
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
};

}  // namespace

base::Result<std::vector<std::string>> ArchiveUpper(const base::Path& upper, const std::vector<base::Path>& lower,
                                                    image::TarWriter& out, const base::Context& context) {
  ASSIGN_OR_RETURN(base::UniqueFd root, base::Open(upper, O_RDONLY | O_DIRECTORY));
  Walk walk(lower, out, context);
  RETURN_IF_ERROR(walk.All(std::move(root)));
  RETURN_IF_ERROR(out.Finish());
  return std::move(walk.hidden);
}

}  // namespace berth::container
