#include "network/conf_watcher.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstring>
#include <deque>
#include <optional>
#include <utility>

#include "base/strings.h"

namespace berth::network {
namespace {

using base::FailErrno;

constexpr uint32_t kEvents =
    IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
constexpr std::chrono::seconds kRetry{5};  // while watches are lacking
constexpr size_t kSubfolders = 64;
constexpr int kLinks = 40;  // the kernel's own limit

std::deque<std::string> Components(const base::Path& path) {
  std::deque<std::string> out;
  for (const std::string_view part : base::Split(path.native(), '/')) {
    if (!part.empty() && part != ".") out.emplace_back(part);
  }
  return out;
}

std::optional<base::Path> LinkTarget(const base::Path& path) {
  std::array<char, PATH_MAX> target;
  const ssize_t length = readlink(path.c_str(), target.data(), target.size());
  if (length <= 0) return std::nullopt;
  return base::Path(std::string_view(target.data(), static_cast<size_t>(length)));
}

bool IsFolder(const base::Path& path) {
  struct stat status {};
  return lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

}  // namespace

base::Result<std::unique_ptr<ConfWatcher>> ConfWatcher::Make(Options options) {
  std::unique_ptr<ConfWatcher> watcher(new ConfWatcher(std::move(options)));
  watcher->inotify_.Reset(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!watcher->inotify_) return FailErrno(errno, "inotify");
  watcher->timer_.Reset(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!watcher->timer_) return FailErrno(errno, "timerfd");
  watcher->epoll_.Reset(epoll_create1(EPOLL_CLOEXEC));
  if (!watcher->epoll_) return FailErrno(errno, "epoll");
  for (const int fd : {watcher->inotify_.get(), watcher->timer_.get()}) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    if (epoll_ctl(watcher->epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return FailErrno(errno, "epoll");
  }
  watcher->WatchAll();
  // What changed between the caller's first reading and now would be missed.
  watcher->Arm(std::chrono::milliseconds(1));
  return watcher;
}

void ConfWatcher::Process() {
  const bool changed = TakeEvents();
  uint64_t expirations = 0;
  if (read(timer_.get(), &expirations, sizeof expirations) == sizeof expirations) {
    armed_ = false;
    // Watches first, then reading: a change in between is an event, never a gap.
    WatchAll();
    options_.on_change();
  }
  if (changed && !armed_) Arm(options_.debounce);
  if (!watching_ && !armed_) Arm(kRetry);
}

// A timer that runs is left alone, so that a folder that never rests is still read.
void ConfWatcher::Arm(std::chrono::milliseconds delay) {
  const auto nanos = std::chrono::nanoseconds(std::max(delay, std::chrono::milliseconds(1))).count();
  const itimerspec when{.it_value = {.tv_sec = nanos / 1'000'000'000, .tv_nsec = nanos % 1'000'000'000}};
  armed_ = timerfd_settime(timer_.get(), 0, &when, nullptr) == 0;
}

bool ConfWatcher::TakeEvents() {
  bool changed = false;
  alignas(inotify_event) std::array<char, 16384> buffer;
  while (true) {
    const ssize_t got = read(inotify_.get(), buffer.data(), buffer.size());
    if (got <= 0) return changed;
    for (ssize_t at = 0; at < got;) {
      inotify_event event;
      std::memcpy(&event, buffer.data() + at, sizeof event);
      const char* name = buffer.data() + at + sizeof event;
      at += static_cast<ssize_t>(sizeof event + event.len);
      if ((event.mask & IN_Q_OVERFLOW) != 0) changed = true;
      const auto watch = watches_.find(event.wd);
      if (watch == watches_.end()) continue;
      constexpr uint32_t kItself = IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT;
      const bool named = event.len > 0 && watch->second.some.contains(name);
      changed = changed || (event.mask & kItself) != 0 || watch->second.all || named;
    }
  }
}

void ConfWatcher::WatchAll() {
  next_.clear();
  watching_ = {};
  WatchPath(options_.conf_dir, true);
  for (const base::Path& folder : options_.bin_dirs) WatchPath(folder, false);
  for (const auto& [descriptor, names] : watches_) {
    if (!next_.contains(descriptor)) inotify_rm_watch(inotify_.get(), descriptor);  // fails when the folder is gone
  }
  watches_ = std::exchange(next_, {});
}

// Walks as the kernel would and watches each folder for the name that leads on; the parent before the child is looked
// at, so that a child that appears meanwhile is an event.
void ConfWatcher::WatchPath(const base::Path& path, bool subfolders) {
  std::deque<std::string> left = Components(path);
  base::Path at = "/";
  int links = 0;
  while (!left.empty()) {
    const std::string name = left.front();
    left.pop_front();
    if (name == "..") {
      at = at.parent_path();
      continue;
    }
    WatchFolder(at, name);
    const base::Path child = at / name;
    if (const auto target = LinkTarget(child)) {
      if (++links > kLinks) return;
      if (target->is_absolute()) at = "/";
      const auto more = Components(*target);
      left.insert(left.begin(), more.begin(), more.end());
      continue;
    }
    if (!IsFolder(child)) return;
    at = child;
  }
  WatchFolder(at, {});
  if (!subfolders) return;
  const auto names = base::ListFolder(at);
  if (!names) return;
  size_t watched = 0;
  for (const std::string& name : *names) {
    if (watched < kSubfolders && IsFolder(at / name)) {
      WatchFolder(at / name, {});
      ++watched;
    }
  }
}

// An empty name: every change in it counts.
void ConfWatcher::WatchFolder(const base::Path& folder, const std::string& name) {
  const int descriptor = inotify_add_watch(inotify_.get(), folder.c_str(), kEvents);
  if (descriptor < 0) {
    // Gone again: its parent's event tells. Anything else is a lack that must be tried again.
    if (errno != ENOENT && errno != ENOTDIR) watching_ = FailErrno(errno, "watch ", folder.native());
    return;
  }
  Names& names = next_[descriptor];
  if (name.empty())
    names.all = true;
  else
    names.some.insert(name);
}

}  // namespace berth::network
