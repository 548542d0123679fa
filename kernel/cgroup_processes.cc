#include "kernel/cgroup.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <span>

#include "base/child.h"
#include "base/strings.h"
#include "base/unique_fd.h"
#include "kernel/cgroup_folder.h"

namespace berth::kernel {
namespace {

using base::Code;
using base::Fail;
using base::FailErrno;
using base::Path;
using base::Result;
using base::Status;
using base::UniqueFd;

// A signalled process cannot fork any more, so each round leaves fewer that can; a fork bomb takes some dozens.
constexpr int kMaxRounds = 1000;
constexpr size_t kChunk = 256;  // pidfds open at a time

// "oom_kill 3": the number after a word at the start of a line.
std::optional<uint64_t> Field(std::string_view text, std::string_view name) {
  for (const std::string_view line : base::Split(text, '\n')) {
    if (!line.starts_with(name) || line.size() <= name.size() || line[name.size()] != ' ') continue;
    const auto number = base::ParseInt(base::Trim(line.substr(name.size())));
    if (number && *number >= 0) return static_cast<uint64_t>(*number);
  }
  return std::nullopt;
}

// Signals those of `pids` that are the group's processes for sure. A pid from a list may be another process's by the
// time its pidfd is opened; if a second list, read after that, still has the pid, then the pidfd is that of a process
// which was in the group, or of one that has ended.
Status SignalChunk(const CgroupTree& tree, const Path& group, std::span<const pid_t> pids) {
  std::vector<std::pair<pid_t, UniqueFd>> open;
  for (const pid_t pid : pids) {
    auto pidfd = base::OpenPidfd(pid);
    if (!pidfd && pidfd.error().err == ESRCH) continue;
    if (!pidfd) return tl::make_unexpected(std::move(pidfd).error());
    open.emplace_back(pid, *std::move(pidfd));
  }
  ASSIGN_OR_RETURN(const auto still, tree.Processes(group));
  for (const auto& [pid, pidfd] : open) {
    if (std::binary_search(still.begin(), still.end(), pid)) RETURN_IF_ERROR(base::SignalPidfd(pidfd.get(), SIGKILL));
  }
  return {};
}

Status SignalAll(const CgroupTree& tree, const Path& group) {
  std::vector<pid_t> before;
  for (int round = 0; round < kMaxRounds; ++round) {
    ASSIGN_OR_RETURN(const auto pids, tree.Processes(group));
    for (size_t at = 0; at < pids.size(); at += kChunk) {
      RETURN_IF_ERROR(SignalChunk(tree, group, std::span(pids).subspan(at, std::min(kChunk, pids.size() - at))));
    }
    // All that this round found had been signalled before it began.
    if (std::includes(before.begin(), before.end(), pids.begin(), pids.end())) return {};
    before = pids;
  }
  return Fail(Code::kUnavailable, "kill cgroup ", group.native(), ": new processes faster than they can be killed");
}

// A frozen process dies when it is thawed. Only v1 needs that; a group without the file was not frozen.
void Thaw(const Path& folder) {
  const Status walked = internal::WalkGroup(folder, [](int fd, const std::string&) -> Status {
    const UniqueFd file(openat(fd, "freezer.state", O_WRONLY | O_CLOEXEC));
    if (file) (void)!write(file.get(), "THAWED", 6);
    return {};
  });
  (void)walked;
}

bool HasEnded(int pidfd) {
  pollfd one{pidfd, POLLIN, 0};
  return poll(&one, 1, 0) > 0;
}

// v1 tells nobody that a group became empty; its processes do.
Status WaitForProcesses(const CgroupTree& tree, const Path& group, const base::Context& context,
                        const std::string& what) {
  while (true) {
    ASSIGN_OR_RETURN(const auto pids, tree.Processes(group));
    bool waited = false;
    for (const pid_t pid : pids) {
      auto pidfd = base::OpenPidfd(pid);
      if (!pidfd && pidfd.error().err == ESRCH) continue;
      if (!pidfd) return tl::make_unexpected(std::move(pidfd).error());
      if (HasEnded(pidfd->get())) continue;
      RETURN_IF_ERROR(context.Wait(pidfd->get(), POLLIN, what));
      waited = true;
    }
    if (!waited) return {};
  }
}

Status WaitUnpopulated(const Path& folder, const base::Context& context, const std::string& what) {
  const Path events = folder / "cgroup.events";
  const UniqueFd watch(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!watch) return FailErrno(errno, "inotify");
  if (inotify_add_watch(watch.get(), events.c_str(), IN_MODIFY | IN_DELETE_SELF) < 0) {
    if (errno == ENOENT) return {};
    return FailErrno(errno, "watch ", events.native());
  }
  while (true) {
    auto text = base::ReadFile(events, 4096);
    if (!text && (text.error().err == ENOENT || text.error().err == ENODEV)) return {};
    if (!text) return tl::make_unexpected(std::move(text).error());
    if (Field(*text, "populated") == 0) return {};
    RETURN_IF_ERROR(context.Wait(watch.get(), POLLIN, what));
    std::array<char, 4096> dropped;
    while (read(watch.get(), dropped.data(), dropped.size()) > 0) {
    }
  }
}

}  // namespace

Result<std::vector<pid_t>> CgroupTree::Processes(const Path& group) const {
  std::vector<pid_t> out;
  for (const Path& folder : Folders(group)) {
    RETURN_IF_ERROR(internal::WalkGroup(folder, [&](int fd, const std::string& shown) -> Status {
      auto text = internal::ReadGroupFile(fd, "cgroup.procs", shown);
      // A threaded group has no processes of its own: they are listed in the group above.
      if (!text && text.error().err == EOPNOTSUPP) return {};
      if (!text) return tl::make_unexpected(std::move(text).error());
      for (const std::string_view line : base::Split(*text, '\n')) {
        const auto pid = base::ParseInt(line);
        if (pid && *pid > 0 && *pid <= INT32_MAX) out.push_back(static_cast<pid_t>(*pid));
      }
      return {};
    }));
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Status CgroupTree::Kill(const Path& group) const {
  if (!group.is_absolute() || !group.has_filename()) {
    return Fail(Code::kInvalidArgument, "cgroup ", group.native(), ": not one of ours");
  }
  if (unified()) {
    const Status killed = base::WriteKernelFile(Folders(group).front() / "cgroup.kill", "1");
    if (killed || killed.error().err == ENODEV) return {};
    // No such file: the group is gone, or the kernel is older than 5.14.
    if (killed.error().err != ENOENT) return killed;
  }
  RETURN_IF_ERROR(SignalAll(*this, group));
  if (const auto freezer = Folder(group, "freezer")) Thaw(*freezer);
  return {};
}

Status CgroupTree::WaitEmpty(const Path& group, const base::Context& context) const {
  const std::string what = base::Cat("end of all processes in cgroup ", group.native());
  if (unified()) return WaitUnpopulated(Folders(group).front(), context, what);
  return WaitForProcesses(*this, group, context, what);
}

Result<uint64_t> CgroupTree::OomKillCount(const Path& group) const {
  ASSIGN_OR_RETURN(const Path folder, Folder(group, "memory"));
  const Path file = folder / (unified() ? "memory.events" : "memory.oom_control");
  auto text = base::ReadFile(file, 4096);
  if (!text && (text.error().err == ENOENT || text.error().err == ENODEV)) text.error().code = Code::kNotFound;
  if (!text) return tl::make_unexpected(std::move(text).error());
  const auto count = Field(*text, "oom_kill");
  if (!count) return Fail(Code::kNotFound, file.native(), ": the kernel does not count OOM kills");
  return *count;
}

}  // namespace berth::kernel
