#include "server/stats/usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>
#include <vector>

#include "base/time.h"

namespace berth::stats {
namespace {

constexpr size_t kWalkedAtOnce = 500;  // entries: about a millisecond
constexpr int64_t kRestPerWalk = 20;
constexpr size_t kMaxDepth = 1000;      // one descriptor is open for each level
constexpr size_t kMaxLinked = 100'000;  // remembered; a container can make any number, which then count for each name
constexpr uint64_t kBlock = 512;        // of st_blocks, whatever the file system

struct CloseDir {
  void operator()(DIR* dir) const { closedir(dir); }
};
using Dir = std::unique_ptr<DIR, CloseDir>;

struct Walk {
  dev_t device = 0;
  size_t left = 0;
  TreeUsage usage{};
  std::set<ino_t> linked{};  // files with several names

  // False once too much was found.
  bool Add(const struct stat& info) {
    if (left == 0) return false;
    --left;
    if (!S_ISDIR(info.st_mode) && info.st_nlink > 1) {
      if (linked.contains(info.st_ino)) return true;
      if (linked.size() < kMaxLinked) linked.insert(info.st_ino);
    }
    usage.bytes += static_cast<uint64_t>(info.st_blocks) * kBlock;
    ++usage.inodes;
    return true;
  }
};

Dir OpenDir(int parent, const char* name) {
  base::UniqueFd fd(openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return nullptr;
  Dir dir(fdopendir(fd.get()));
  if (dir) (void)fd.Release();  // now the stream's
  return dir;
}

}  // namespace

base::Result<std::optional<TreeUsage>> WalkTree(const base::Path& folder, size_t max_entries) {
  struct stat info {};
  if (lstat(folder.c_str(), &info) != 0) return base::FailErrno(errno, "stat ", folder.native());
  Walk walk{.device = info.st_dev, .left = max_entries};
  std::vector<Dir> open;
  open.push_back(OpenDir(AT_FDCWD, folder.c_str()));
  if (!open.back()) return base::FailErrno(errno, "open ", folder.native());
  if (!walk.Add(info)) return std::optional<TreeUsage>();
  while (!open.empty()) {
    const dirent* entry = readdir(open.back().get());
    if (entry == nullptr) {
      open.pop_back();
      continue;
    }
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    const int at = dirfd(open.back().get());
    if (fstatat(at, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 || info.st_dev != walk.device) continue;
    if (!walk.Add(info)) return std::optional<TreeUsage>();
    if (!S_ISDIR(info.st_mode) || open.size() == kMaxDepth) continue;
    if (Dir below = OpenDir(at, entry->d_name)) open.push_back(std::move(below));
  }
  walk.usage.time = base::UnixNanos();
  return std::optional(walk.usage);
}

std::optional<TreeUsage> UsageCache::Counted(const std::string& id, const base::Path& folder) {
  const auto known = state_.With([&](State& state) {
    const auto at = state.entries.find(id);
    return at == state.entries.end() ? std::nullopt : at->second.project;
  });
  const uint32_t project = known ? *known : kernel::ProjectQuota::IdOf(folder);
  if (!known) state_.With([&](State& state) { state.entries[id].project = project; });
  if (project == 0) return std::nullopt;
  const auto usage = quota_->Read(project);
  if (!usage) return std::nullopt;
  return TreeUsage{.time = base::UnixNanos(), .bytes = usage->bytes, .inodes = usage->inodes};
}

std::optional<TreeUsage> UsageCache::Get(const std::string& id, const base::Path& folder) {
  if (quota_ != nullptr) {
    if (auto counted = Counted(id, folder)) return counted;
  }
  const int64_t now = base::UnixNanos();
  bool first = false;
  bool start = false;
  std::optional<TreeUsage> known = state_.With([&](State& state) {
    Entry& entry = state.entries[id];
    first = !std::exchange(entry.walked, true);
    const int64_t rest = std::max<int64_t>(period_.count(), kRestPerWalk * state.took.count());
    start = !first && !entry.queued && (!entry.usage || now - entry.usage->time >= rest);
    entry.queued = entry.queued || start;
    return entry.usage;
  });
  if (first) {
    const base::TimePoint begin = base::Monotonic::now();
    auto walked = WalkTree(folder, kWalkedAtOnce);
    if (walked && *walked) {
      state_.With([&](State& state) { Note(state, id, **walked, base::Monotonic::now() - begin); });
      return **walked;
    }
    start = state_.With([&](State& state) { return !std::exchange(state.entries[id].queued, true); });
  }
  if (start && !walker_.Submit([this, id, folder] { Walk(id, folder); })) {
    state_.With([&](State& state) { state.entries[id].queued = false; });
  }
  return known;
}

void UsageCache::Walk(const std::string& id, const base::Path& folder) {
  const base::TimePoint begin = base::Monotonic::now();
  auto walked = WalkTree(folder, std::numeric_limits<size_t>::max());
  const auto took = base::Monotonic::now() - begin;
  state_.With([&](State& state) { Note(state, id, walked ? *walked : std::nullopt, took); });
}

void UsageCache::Note(State& state, const std::string& id, std::optional<TreeUsage> usage,
                      std::chrono::nanoseconds took) {
  const auto at = state.entries.find(id);
  if (at == state.entries.end()) return;  // forgotten meanwhile
  state.took += took - at->second.took;
  at->second.took = took;
  at->second.queued = false;
  if (usage) at->second.usage = usage;
}

void UsageCache::Keep(const std::set<std::string>& ids) {
  state_.With([&](State& state) {
    std::erase_if(state.entries, [&](const auto& entry) {
      if (ids.contains(entry.first)) return false;
      state.took -= entry.second.took;
      return true;
    });
  });
}

}  // namespace berth::stats
