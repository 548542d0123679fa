#include "image/layer_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "image/layer_path.h"
#include "image/layer_xattr.h"

namespace berth::image {

using base::Code;
using base::Fail;
using base::FailErrno;
using base::Result;
using base::Status;
using base::UniqueFd;
using Type = TarEntry::Type;

namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kWhiteoutMeta = ".wh..wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr uint64_t kDiskBlock = 4096;

std::array<timespec, 2> Times(const TarEntry& entry) {
  return {entry.atime.value_or(entry.mtime), entry.mtime};
}

bool IsWhiteoutNode(const struct stat& info) {
  return S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0);
}

// AUFS keeps book in files and folders of such names; "opq" alone has a meaning here.
bool IsWhiteoutMeta(std::string_view clean) {
  while (!clean.empty()) {
    const size_t slash = std::min(clean.find('/'), clean.size());
    const auto part = clean.substr(0, slash);
    clean.remove_prefix(std::min(slash + 1, clean.size()));
    if (part.starts_with(kWhiteoutMeta) && (part != kOpaque || !clean.empty())) return true;
  }
  return false;
}

bool HasWhiteoutFolder(std::string_view parent) {
  return parent.starts_with(kWhiteout) || parent.find("/.wh.") != std::string_view::npos;
}

}  // namespace

Result<std::unique_ptr<LayerWriter>> LayerWriter::Create(const base::Path& root, const LayerLimits& limits) {
  ASSIGN_OR_RETURN(UniqueFd fd, base::Open(root, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  std::unique_ptr<LayerWriter> writer(new LayerWriter(root, limits));
  LayerWriter* self = writer.get();
  ASSIGN_OR_RETURN(writer->cursor_, FolderCursor::Create(std::move(fd), [self](const std::string& path, bool whiteout) {
                     return self->OnMade(path, whiteout);
                   }));
  // Until the archive says otherwise: unpacking twice gives the same.
  writer->cursor_->SetRootTime({});
  writer->implied_.emplace();
  return writer;
}

std::string LayerWriter::ProcPath(int fd, std::string_view name) const {
  return base::Cat("/proc/self/fd/", fd, '/', name);
}

Status LayerWriter::TakeNote(size_t bytes) {
  constexpr size_t kNodeBytes = 128;
  note_bytes_ += bytes + kNodeBytes;
  if (note_bytes_ <= limits_.note_bytes) return {};
  return Fail(Code::kResourceExhausted, "too many folders and hard links that only lower layers can have");
}

Status LayerWriter::OnMade(const std::string& path, bool whiteout) {
  ++inodes_;
  bytes_ += kDiskBlock;
  if (++entries_ > limits_.entries) return Fail(Code::kResourceExhausted, "more than ", limits_.entries, " entries");
  TargetReplaced(path, true);
  // Below a whiteout nothing of the lower layers shows, so there is nothing to inherit either.
  const bool was_link = notes_.links.erase(path) > 0;
  if (whiteout) exact_ = false;
  if (whiteout || was_link) return SetOpaque((root_path_ / path).native());
  RETURN_IF_ERROR(TakeNote(path.size()));
  implied_.insert(path);
  return {};
}

void LayerWriter::ForgetNotes(const std::string& path) {
  // What is below "a" begins with "a/". All of it and no more is looked at: the archive may do this as often as it has
  // entries.
  const auto forget = [&](auto& notes) {
    notes.erase(path);
    notes.erase(notes.lower_bound(path + '/'), notes.lower_bound(path + static_cast<char>('/' + 1)));
  };
  forget(implied_);
  forget(notes_.links);
}

// What a noted link stands for is no longer at this name. A folder leaves what lower layers have below it.
void LayerWriter::TargetReplaced(const std::string& path, bool folder) {
  const auto mark = [&](auto from, const auto& is_in) {
    while (from != link_targets_.end() && is_in(from->first)) {
      const auto link = notes_.links.find(from->second);
      if (link != notes_.links.end() && link->second.target == from->first) link->second.replaced = true;
      from = link_targets_.erase(from);
    }
  };
  mark(link_targets_.lower_bound(path), [&](const std::string& target) { return target == path; });
  const std::string below = path + "/";
  if (!folder)
    mark(link_targets_.lower_bound(below), [&](const std::string& target) { return target.starts_with(below); });
}

Status LayerWriter::Begin(const TarEntry& entry) {
  if (++entries_ > limits_.entries) return Fail(Code::kResourceExhausted, "more than ", limits_.entries, " entries");
  auto clean = CleanLayerPath(entry.name);
  if (!clean) return tl::make_unexpected(std::move(clean).error());
  name_ = *std::move(clean);
  RETURN_IF_ERROR(Apply(entry), name_);
  return {};
}

Status LayerWriter::Apply(const TarEntry& entry) {
  if (name_.empty()) return ApplyRoot(entry);
  if (IsWhiteoutMeta(name_)) return {};
  const auto [parent, base] = SplitLayerPath(name_);
  if (HasWhiteoutFolder(parent)) return Fail(Code::kInvalidArgument, "a whiteout is no folder");
  base_ = base;
  ASSIGN_OR_RETURN(folder_, cursor_->Enter(parent));
  if (base_ == kOpaque) return MarkOpaque(folder_.path);
  if (base_.starts_with(kWhiteout)) return ApplyWhiteout(std::string_view(base_).substr(kWhiteout.size()));
  // From here on a name without symbolic links on its way.
  name_ = JoinLayerPath(folder_.path, base_);
  cursor_->Touch();
  if (entry.type != Type::kHardLink) TargetReplaced(name_, entry.type == Type::kFolder);
  switch (entry.type) {
    case Type::kFolder:
      return ApplyFolder(entry);
    case Type::kFile:
      return ApplyFile(entry);
    case Type::kHardLink:
      return ApplyHardLink(entry);
    default:
      return ApplyNode(entry);
  }
}

Status LayerWriter::ApplyRoot(const TarEntry& entry) {
  if (entry.type != Type::kFolder) return Fail(Code::kInvalidArgument, "the root of a layer must be a folder");
  implied_.erase("");
  UniqueFd fd(openat(cursor_->root(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return FailErrno(errno, "open the root");
  if (fchown(fd.get(), entry.uid, entry.gid) != 0) return FailErrno(errno, "chown the root");
  if (fchmod(fd.get(), entry.mode) != 0) return FailErrno(errno, "chmod the root");
  RETURN_IF_ERROR(SetXattrs(fd.get(), "the root", entry.xattrs));
  cursor_->SetRootTime(entry.mtime);
  return {};
}

Status LayerWriter::MarkOpaque(std::string_view path) {
  return SetOpaque((root_path_ / path).native());
}

Status LayerWriter::ApplyWhiteout(std::string_view hidden) {
  if (hidden.empty() || hidden == "." || hidden == "..") return Fail(Code::kInvalidArgument, "a whiteout of nothing");
  const std::string name(hidden);
  cursor_->Touch();
  if (mknodat(folder_.fd, name.c_str(), S_IFCHR, makedev(0, 0)) == 0) {
    ++inodes_;
    TargetReplaced(JoinLayerPath(folder_.path, name), false);
    // Times are the archive's or none, so that unpacking twice gives the same.
    const std::array<timespec, 2> epoch{};
    utimensat(folder_.fd, name.c_str(), epoch.data(), AT_SYMLINK_NOFOLLOW);
    return {};
  }
  if (errno != EEXIST) return FailErrno(errno, "make whiteout");
  struct stat info {};
  if (fstatat(folder_.fd, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return FailErrno(errno, "stat ", name);
  // The entry of this layer wins, and a folder of it then hides the lower one instead of being merged with it.
  if (!S_ISDIR(info.st_mode)) return {};
  const std::string path = JoinLayerPath(folder_.path, name);
  implied_.erase(path);
  return MarkOpaque(path);
}

// Takes away what has the current entry's name.
Status LayerWriter::Replace() {
  exact_ = false;
  sum_.Spoil();
  cursor_->Forget();
  if (unlinkat(folder_.fd, base_.c_str(), 0) == 0) return {};
  if (errno != EISDIR && errno != EPERM) return FailErrno(errno, "replace");
  ForgetNotes(name_);
  return base::RemoveTree(root_path_ / name_);
}

Status LayerWriter::ApplyFolder(const TarEntry& entry) {
  bool opaque = notes_.links.erase(name_) > 0;
  if (mkdirat(folder_.fd, base_.c_str(), 0700) != 0) {
    if (errno != EEXIST) return FailErrno(errno, "mkdir");
    struct stat info {};
    if (fstatat(folder_.fd, base_.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return FailErrno(errno, "stat");
    implied_.erase(name_);
    if (!S_ISDIR(info.st_mode)) {
      // It hid what the lower layers have there, and so must the folder.
      opaque = true;
      RETURN_IF_ERROR(Replace());
      if (mkdirat(folder_.fd, base_.c_str(), 0700) != 0) return FailErrno(errno, "mkdir");
    }
  } else {
    ++inodes_;
    bytes_ += kDiskBlock;
  }
  UniqueFd fd(openat(folder_.fd, base_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return FailErrno(errno, "open folder");
  if (fchown(fd.get(), entry.uid, entry.gid) != 0) return FailErrno(errno, "chown");
  if (fchmod(fd.get(), entry.mode) != 0) return FailErrno(errno, "chmod");
  if (opaque) RETURN_IF_ERROR(MarkOpaque(name_));
  RETURN_IF_ERROR(SetXattrs(fd.get(), name_, entry.xattrs));
  if (futimens(fd.get(), Times(entry).data()) != 0) return FailErrno(errno, "set times");
  return {};
}

Status LayerWriter::ApplyFile(const TarEntry& entry) {
  notes_.links.erase(name_);
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  file_.Reset(openat(folder_.fd, base_.c_str(), kFlags, 0600));
  if (!file_ && errno == EEXIST) {
    RETURN_IF_ERROR(Replace());
    file_.Reset(openat(folder_.fd, base_.c_str(), kFlags, 0600));
  }
  if (!file_) return FailErrno(errno, "create");
  entry_ = entry;
  ++inodes_;
  return {};
}

Status LayerWriter::Data(uint64_t offset, std::span<const uint8_t> bytes) {
  // A file whose name only means something to AUFS.
  if (!file_) return {};
  file_bytes_ += bytes.size();
  if (file_bytes_ > limits_.file_bytes) {
    return Fail(Code::kResourceExhausted, name_, ": the layer has more than ", limits_.file_bytes, " bytes");
  }
  sum_.Data(offset, bytes);
  while (!bytes.empty()) {
    const ssize_t wrote = pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return FailErrno(errno, "write ", name_);
    offset += static_cast<uint64_t>(wrote);
    bytes = bytes.subspan(static_cast<size_t>(wrote));
  }
  entry_.size = std::max(entry_.size, offset);
  return {};
}

Status LayerWriter::End() {
  if (!file_) return {};
  const UniqueFd file = std::move(file_);
  struct stat info {};
  if (fstat(file.get(), &info) != 0) return FailErrno(errno, "stat ", name_);
  if (static_cast<uint64_t>(info.st_size) != entry_.size &&
      ftruncate(file.get(), static_cast<off_t>(entry_.size)) != 0) {
    return FailErrno(errno, "set size of ", name_);
  }
  sum_.End(entry_.size);
  bytes_ += (std::min(entry_.size, static_cast<uint64_t>(info.st_size)) + kDiskBlock - 1) / kDiskBlock * kDiskBlock;
  // chown takes setuid bits and capabilities away, so it comes first.
  if ((info.st_uid != entry_.uid || info.st_gid != entry_.gid) && fchown(file.get(), entry_.uid, entry_.gid) != 0) {
    return FailErrno(errno, "chown ", name_);
  }
  if (fchmod(file.get(), entry_.mode) != 0) return FailErrno(errno, "chmod ", name_);
  RETURN_IF_ERROR(SetXattrs(file.get(), name_, entry_.xattrs));
  if (futimens(file.get(), Times(entry_).data()) != 0) return FailErrno(errno, "set times of ", name_);
  return {};
}

Status LayerWriter::ApplyHardLink(const TarEntry& entry) {
  ASSIGN_OR_RETURN(const std::string target, CleanLayerPath(entry.link), "hard link");
  if (target.empty()) return Fail(Code::kInvalidArgument, "hard link to the root");
  notes_.links.erase(name_);
  const auto [parent, base] = SplitLayerPath(target);
  const std::string base_name(base);
  struct stat there {};
  auto at = base::OpenInRoot(cursor_->root(), parent.empty() ? "." : std::string(parent), O_PATH | O_DIRECTORY);
  if (!at && at.error().err != ENOENT)
    return Fail(Code::kInvalidArgument, "hard link to ", target, ": ", at.error().message);
  const bool here = at && fstatat(at->get(), base_name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0;
  if (here && IsWhiteoutNode(there))
    return Fail(Code::kInvalidArgument, "hard link to ", target, ", which this layer removes");
  if (here && S_ISDIR(there.st_mode)) return Fail(Code::kInvalidArgument, "hard link to the folder ", target);

  struct stat old {};
  if (fstatat(folder_.fd, base_.c_str(), &old, AT_SYMLINK_NOFOLLOW) == 0) {
    if (here && old.st_ino == there.st_ino) return {};  // linked already
    RETURN_IF_ERROR(Replace());
  }
  if (!here) {
    if (target == name_) return Fail(Code::kInvalidArgument, "hard link to itself");
    // What is a link itself may be replaced before the layers below are there: this one keeps what it stood for.
    const auto noted = notes_.links.find(target);
    const std::string& final_target = noted == notes_.links.end() ? target : noted->second.target;
    if (final_target == name_) return {};  // it was this all along, and no layer above has touched it
    RETURN_IF_ERROR(TakeNote(name_.size() + final_target.size()));
    const bool replaced = noted != notes_.links.end() && noted->second.replaced;
    if (!replaced) link_targets_.emplace(final_target, name_);
    LayerNotes::Link link{.order = entries_, .target = final_target, .replaced = replaced};
    TargetReplaced(name_, false);
    notes_.links[name_] = std::move(link);
    return {};
  }
  TargetReplaced(name_, false);
  // Without AT_SYMLINK_FOLLOW: a link to a symbolic link is a second name of that link.
  if (linkat(at->get(), base_name.c_str(), folder_.fd, base_.c_str(), 0) != 0) {
    return FailErrno(errno, "hard link to ", target);
  }
  ++links_;
  return {};
}

Status LayerWriter::ApplyNode(const TarEntry& entry) {
  notes_.links.erase(name_);
  const dev_t device = makedev(entry.device_major, entry.device_minor);
  if (entry.type == Type::kCharDevice && device == makedev(0, 0)) {
    return Fail(Code::kInvalidArgument, "a device 0:0 would be a whiteout");
  }
  const auto make = [&] {
    switch (entry.type) {
      case Type::kSymlink:
        return symlinkat(entry.link.c_str(), folder_.fd, base_.c_str());
      case Type::kCharDevice:
        return mknodat(folder_.fd, base_.c_str(), S_IFCHR | 0600, device);
      case Type::kBlockDevice:
        return mknodat(folder_.fd, base_.c_str(), S_IFBLK | 0600, device);
      default:
        return mknodat(folder_.fd, base_.c_str(), S_IFIFO | 0600, 0);
    }
  };
  int result = make();
  if (result != 0 && errno == EEXIST) {
    RETURN_IF_ERROR(Replace());
    result = make();
  }
  if (result != 0 && (errno == ENOENT || errno == ENAMETOOLONG) && entry.type == Type::kSymlink) {
    return Fail(Code::kInvalidArgument, "bad target of a symbolic link");
  }
  if (result != 0) return FailErrno(errno, "create");
  ++inodes_;
  return FinishNode(entry);
}

Status LayerWriter::FinishNode(const TarEntry& entry) {
  if (fchownat(folder_.fd, base_.c_str(), entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0)
    return FailErrno(errno, "chown");
  if (entry.type != Type::kSymlink) {
    if (fchmodat(folder_.fd, base_.c_str(), entry.mode, 0) != 0) return FailErrno(errno, "chmod");
    RETURN_IF_ERROR(SetXattrs(-1, ProcPath(folder_.fd, base_), entry.xattrs));
  }
  if (utimensat(folder_.fd, base_.c_str(), Times(entry).data(), AT_SYMLINK_NOFOLLOW) != 0)
    return FailErrno(errno, "set times");
  return {};
}

Result<LayerNotes> LayerWriter::Finish() {
  RETURN_IF_ERROR(cursor_->Leave());
  notes_.implied_folders.assign(implied_.begin(), implied_.end());
  return std::move(notes_);
}

}  // namespace berth::image
