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

constexpr int kMaxDepth = 256;         // one descriptor is open for each level
constexpr size_t kMaxFile = 64 << 20;  // cgroup.procs of four million processes
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

Status CheckDepth(int depth, const std::string& shown) {
  if (depth <= kMaxDepth) return {};
  return base::Fail(Code::kResourceExhausted, "cgroup ", shown, ": nested deeper than ", kMaxDepth);
}

Status Walk(int folder, const std::string& shown, int depth,
            const std::function<Status(int, const std::string&)>& visit) {
  RETURN_IF_ERROR(CheckDepth(depth, shown));
  RETURN_IF_ERROR(visit(folder, shown));
  ASSIGN_OR_RETURN(const auto names, SubFolders(folder, shown));
  for (const std::string& name : names) {
    const std::string below = base::Cat(shown, "/", name);
    const UniqueFd fd(openat(folder, name.c_str(), kFolder));
    if (!fd && IsGone(errno)) continue;
    if (!fd) return FailErrno(errno, "open ", below);
    RETURN_IF_ERROR(Walk(fd.get(), below, depth + 1, visit));
  }
  return {};
}

Status RemoveAt(int parent, const char* name, const std::string& shown, int depth) {
  RETURN_IF_ERROR(CheckDepth(depth, shown));
  if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || IsGone(errno)) return {};
  const int err = errno;
  // EBUSY is both "has processes" and "has groups below" (ENOTEMPTY off the kernel's cgroup file systems).
  if (err != EBUSY && err != ENOTEMPTY) return FailErrno(err, "remove cgroup ", shown);
  const UniqueFd fd(openat(parent, name, kFolder));
  if (!fd && IsGone(errno)) return {};
  if (!fd) return FailErrno(errno, "open ", shown);
  ASSIGN_OR_RETURN(const auto names, SubFolders(fd.get(), shown));
  for (const std::string& below : names) {
    RETURN_IF_ERROR(RemoveAt(fd.get(), below.c_str(), base::Cat(shown, "/", below), depth + 1));
  }
  if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || IsGone(errno)) return {};
  base::Error error = FailErrno(errno, "remove cgroup ", shown).value();
  if (error.err == EBUSY) error.code = Code::kFailedPrecondition;
  return tl::make_unexpected(std::move(error));
}

}  // namespace

Status WalkGroup(const Path& folder, const std::function<Status(int, const std::string&)>& visit) {
  const UniqueFd fd(open(folder.c_str(), kFolder));
  if (!fd && IsGone(errno)) return {};
  if (!fd) return FailErrno(errno, "open ", folder.native());
  return Walk(fd.get(), folder.native(), 0, visit);
}

Status RemoveGroup(const Path& folder) {
  return RemoveAt(AT_FDCWD, folder.c_str(), folder.native(), 0);
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
