#include "kernel/cgroup_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "base/unique_fd.h"

namespace berth::kernel::internal {
namespace {

using base::Code;
using base::FailErrno;
using base::Path;
using base::Result;
using base::Status;
using base::UniqueFd;

constexpr size_t kMaxGroups = 1 << 20;  // one that makes groups faster than we look is not followed for ever
constexpr size_t kMaxFile = 64 << 20;   // cgroup.procs of four million processes
constexpr int kFolder = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

// ENODEV: the group was removed after the file was opened.
bool IsGone(int err) {
  return err == ENOENT || err == ENODEV;
}

struct CloseDir {
  void operator()(DIR* dir) const { closedir(dir); }
};

Result<std::vector<std::string>> SubFolders(int folder, const std::string& shown) {
  UniqueFd copy(openat(folder, ".", kFolder));
  if (!copy) {
    if (IsGone(errno)) return std::vector<std::string>();
    return FailErrno(errno, "open ", shown);
  }
  const std::unique_ptr<DIR, CloseDir> dir(fdopendir(copy.get()));
  if (!dir) return FailErrno(errno, "open ", shown);
  (void)copy.Release();  // now the stream's
  std::vector<std::string> names;
  while (const dirent* entry = readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (entry->d_type == DT_DIR && name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

// Where we are in a tree whose depth is the container's to choose: it costs neither stack nor a descriptor for each
// level. Groups are never moved to another parent, so ".." leads back.
class Descent {
 public:
  Descent(UniqueFd folder, std::string shown) : folder_(std::move(folder)), shown_(std::move(shown)) {}

  int folder() const { return folder_.get(); }
  const std::string& shown() const { return shown_; }

  // False for one that is gone.
  Result<bool> Down(const std::string& name) {
    UniqueFd below(openat(folder_.get(), name.c_str(), kFolder));
    if (!below && IsGone(errno)) return false;
    if (!below) return FailErrno(errno, "open ", shown_, "/", name);
    if (++seen_ > kMaxGroups)
      return base::Fail(Code::kResourceExhausted, "cgroup ", shown_, ": more than ", kMaxGroups, " groups");
    folder_ = std::move(below);
    shown_ += "/" + name;
    names_.push_back(name);
    return true;
  }
  // The name of what is left.
  Result<std::string> Up() {
    UniqueFd above(openat(folder_.get(), "..", kFolder));
    if (!above) return FailErrno(errno, "open ", shown_, "/..");
    folder_ = std::move(above);
    std::string name = std::move(names_.back());
    names_.pop_back();
    shown_.resize(shown_.size() - name.size() - 1);
    return name;
  }

 private:
  UniqueFd folder_;
  std::string shown_;
  std::vector<std::string> names_;  // from where it began to here
  size_t seen_ = 0;
};

// False for one that has processes or groups. EBUSY is both (ENOTEMPTY off the kernel's cgroup file systems).
Result<bool> RemoveFolder(int parent, const std::string& name, const std::string& shown) {
  if (unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || IsGone(errno)) return true;
  if (errno == EBUSY || errno == ENOTEMPTY) return false;
  return FailErrno(errno, "remove cgroup ", shown);
}

Status RemoveEmptied(int parent, const std::string& name, const std::string& shown) {
  ASSIGN_OR_RETURN(const bool removed, RemoveFolder(parent, name, shown));
  if (removed) return {};
  return tl::make_unexpected(base::Error{.code = Code::kFailedPrecondition,
                                         .message = base::Cat("remove cgroup ", shown, ": it is in use"),
                                         .err = EBUSY});
}

}  // namespace

Status WalkGroup(const Path& folder, const std::function<Status(int, const std::string&)>& visit) {
  UniqueFd fd(open(folder.c_str(), kFolder));
  if (!fd && IsGone(errno)) return {};
  if (!fd) return FailErrno(errno, "open ", folder.native());
  Descent at(std::move(fd), folder.native());
  std::vector<std::vector<std::string>> todo;  // of each level
  for (bool arrived = true;;) {
    if (arrived) {
      RETURN_IF_ERROR(visit(at.folder(), at.shown()));
      ASSIGN_OR_RETURN(auto names, SubFolders(at.folder(), at.shown()));
      todo.push_back(std::move(names));
    }
    arrived = false;
    if (todo.back().empty()) {
      todo.pop_back();
      if (todo.empty()) return {};
      RETURN_IF_ERROR(at.Up());
      continue;
    }
    const std::string name = std::move(todo.back().back());
    todo.back().pop_back();
    ASSIGN_OR_RETURN(arrived, at.Down(name));
  }
}

Status RemoveGroup(const Path& folder) {
  ASSIGN_OR_RETURN(const bool at_once, RemoveFolder(AT_FDCWD, folder.native(), folder.native()));
  if (at_once) return {};
  UniqueFd fd(open(folder.c_str(), kFolder));
  if (!fd && IsGone(errno)) return {};
  if (!fd) return FailErrno(errno, "open ", folder.native());
  Descent at(std::move(fd), folder.native());
  ASSIGN_OR_RETURN(auto names, SubFolders(at.folder(), at.shown()));
  std::vector<std::vector<std::string>> todo = {std::move(names)};  // of each level
  while (true) {
    if (todo.back().empty()) {
      todo.pop_back();
      if (todo.empty()) return RemoveEmptied(AT_FDCWD, folder.native(), folder.native());
      ASSIGN_OR_RETURN(const std::string left, at.Up());
      RETURN_IF_ERROR(RemoveEmptied(at.folder(), left, base::Cat(at.shown(), "/", left)));
      continue;
    }
    const std::string name = std::move(todo.back().back());
    todo.back().pop_back();
    ASSIGN_OR_RETURN(const bool removed, RemoveFolder(at.folder(), name, base::Cat(at.shown(), "/", name)));
    if (removed) continue;
    ASSIGN_OR_RETURN(const bool entered, at.Down(name));
    if (!entered) continue;
    ASSIGN_OR_RETURN(names, SubFolders(at.folder(), at.shown()));
    todo.push_back(std::move(names));
  }
}

Result<std::string> ReadGroupFile(int folder, const char* name, const std::string& shown) {
  const std::string what = base::Cat(shown, "/", name);
  const UniqueFd fd(openat(folder, name, O_RDONLY | O_CLOEXEC));
  if (!fd && IsGone(errno)) return std::string();
  if (!fd) return FailErrno(errno, "open ", what);
  auto text = base::ReadAll(fd.get(), kMaxFile, what);
  if (!text && IsGone(text.error().err)) return std::string();
  return text;
}

}  // namespace berth::kernel::internal
