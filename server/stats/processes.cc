#include "server/stats/processes.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string_view>

#include "base/strings.h"

namespace berth::stats {
namespace {

constexpr uint64_t kMaxLooked = 100'000;
constexpr uint64_t kMaxCounted = 1'000'000;
constexpr std::string_view kSocket = "socket:";

struct CloseDir {
  void operator()(DIR* dir) const { closedir(dir); }
};

}  // namespace

ProcessFigures ReadProcesses(const std::vector<pid_t>& pids, const base::Path& proc) {
  ProcessFigures out;
  for (const pid_t pid : pids) {
    const std::unique_ptr<DIR, CloseDir> dir(opendir((proc / std::to_string(pid) / "fd").c_str()));
    if (!dir) continue;
    ++out.processes;
    while (const dirent* entry = out.descriptors < kMaxCounted ? readdir(dir.get()) : nullptr) {
      if (entry->d_name[0] == '.') continue;
      if (++out.descriptors > kMaxLooked) continue;
      std::array<char, kSocket.size()> target{};
      const ssize_t size = readlinkat(dirfd(dir.get()), entry->d_name, target.data(), target.size());
      if (size > 0 && std::string_view(target.data(), static_cast<size_t>(size)) == kSocket) ++out.sockets;
    }
  }
  return out;
}

std::optional<uint64_t> OpenFilesLimit(pid_t pid) {
  rlimit limit{};
  if (prlimit(pid, RLIMIT_NOFILE, nullptr, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  return limit.rlim_cur;
}

}  // namespace berth::stats
