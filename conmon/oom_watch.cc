#include "conmon/oom_watch.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string_view>

#include "conmon/text.h"

namespace berth::conmon {
namespace {

constexpr size_t kPathLimit = 4096;

bool HasController(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    const size_t end = list.find(',');
    if (list.substr(0, end) == name) return true;
    if (end == std::string_view::npos) return false;
    list.remove_prefix(end + 1);
  }
  return false;
}

struct MemoryCgroup {
  std::string_view path;
  bool unified = false;
};

// Lines are "<hierarchy>:<controllers>:<path>"; v2 has hierarchy 0 and no controllers. A memory controller on v1 wins:
// on a hybrid host v2 exists beside it without one.
std::optional<MemoryCgroup> FindMemory(std::string_view text) {
  std::optional<MemoryCgroup> unified;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string_view path = line.substr(second + 1);
    if (HasController(controllers, "memory")) return MemoryCgroup{path, false};
    if (controllers.empty() && line.starts_with("0:")) unified = MemoryCgroup{path, true};
  }
  return unified;
}

ssize_t ReadSmall(int fd, char* out, size_t size) {
  ssize_t got = 0;
  do got = pread(fd, out, size, 0);
  while (got < 0 && errno == EINTR);
  return got;
}

base::UniqueFd OpenIn(std::string_view folder, std::string_view name, int flags) {
  Text<kPathLimit> path;
  path.Add(folder).Add("/").Add(name);
  return base::UniqueFd(open(path.c_str(), flags | O_CLOEXEC));
}

}  // namespace

bool OomWatch::Start(const char* cgroup_root, pid_t pid) {
  Text<64> name;
  name.Add("/proc/").Add(static_cast<uint64_t>(pid)).Add("/cgroup");
  base::UniqueFd list(open(name.c_str(), O_RDONLY | O_CLOEXEC));
  if (!list) return false;
  char text[kPathLimit];
  const ssize_t got = ReadSmall(list.get(), text, sizeof text);
  if (got <= 0) return false;
  const auto memory = FindMemory({text, static_cast<size_t>(got)});
  // The root cgroup has no counter of its own.
  if (!memory || memory->path == "/") return false;

  Text<kPathLimit> folder;
  folder.Add(cgroup_root).Add(memory->unified ? "" : "/memory").Add(memory->path);
  if (memory->unified) {
    counter_ = OpenIn(folder.view(), "memory.events", O_RDONLY);
    const bool watched = Refresh();
    before_ = kills_;
    return watched;
  }
  counter_ = OpenIn(folder.view(), "memory.oom_control", O_RDONLY);
  const base::UniqueFd control = OpenIn(folder.view(), "cgroup.event_control", O_WRONLY);
  base::UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!counter_ || !event || !Refresh()) {
    Stop();
    return false;
  }
  before_ = kills_;
  Text<64> order;
  order.Add(static_cast<uint64_t>(event.get())).Add(" ").Add(static_cast<uint64_t>(counter_.get()));
  // Without the event the counter is still read when the container ends.
  if (control && write(control.get(), order.c_str(), order.size()) > 0) event_ = std::move(event);
  return event_.valid();
}

uint32_t OomWatch::events() const {
  return event_ ? EPOLLIN : EPOLLPRI;
}

bool OomWatch::Notified() {
  uint64_t count = 0;
  if (event_) (void)!read(event_.get(), &count, sizeof count);
  return Refresh();
}

bool OomWatch::Refresh() {
  if (!counter_) return false;
  char text[512];
  const ssize_t got = ReadSmall(counter_.get(), text, sizeof text);
  if (got <= 0) return false;
  std::string_view lines(text, static_cast<size_t>(got));
  constexpr std::string_view kKey = "oom_kill ";
  for (size_t at = lines.find(kKey); at != std::string_view::npos; at = lines.find(kKey, at + 1)) {
    if (at != 0 && lines[at - 1] != '\n') continue;
    const uint64_t kills = LeadingNumber(lines.substr(at + kKey.size()));
    if (kills > kills_) kills_ = kills;
    return true;
  }
  return true;
}

void OomWatch::Stop() {
  event_.Reset();
  counter_.Reset();
}

}  // namespace berth::conmon
