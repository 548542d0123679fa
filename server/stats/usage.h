// How much a container's writable layer holds, without a walk in the caller's time.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/executor.h"
#include "base/file.h"
#include "base/guarded.h"
#include "base/result.h"
#include "kernel/project_quota.h"

namespace berth::stats {

struct TreeUsage {
  int64_t time = 0;     // of the walk's end, Unix nanoseconds
  uint64_t bytes = 0;   // blocks in use; a file with several names counts once
  uint64_t inodes = 0;  // the folder itself among them
};

// Stays on the folder's file system and follows no link. What vanishes meanwhile is left out. Absent when there are
// more than `max_entries`.
base::Result<std::optional<TreeUsage>> WalkTree(const base::Path& folder, size_t max_entries);

// Thread-safe. A folder that kernel::ProjectQuota counts is asked for at each call, and is never walked. Walks of the
// others run one at a time on a thread of their own and take at most about a twentieth of its time
// altogether: the longer all walks take, the older figures may get.
class UsageCache {
 public:
  explicit UsageCache(std::chrono::nanoseconds period, const kernel::ProjectQuota* quota = nullptr)
      : period_(period), quota_(quota), walker_({.name = "usage", .threads = 1}) {}

  // The last figures; a walk is started when they are older than the period. The first time a small tree is walked at
  // once, of a large one nothing is known until its walk has ended.
  std::optional<TreeUsage> Get(const std::string& id, const base::Path& folder);
  void Keep(const std::set<std::string>& ids);  // forgets all others

 private:
  struct Entry {
    std::optional<uint32_t> project;  // 0: it has none
    std::optional<TreeUsage> usage;
    std::chrono::nanoseconds took{0};
    bool walked = false;  // or about to be
    bool queued = false;
  };
  struct State {
    std::map<std::string, Entry> entries;
    std::chrono::nanoseconds took{0};  // sum over entries
  };
  std::optional<TreeUsage> Counted(const std::string& id, const base::Path& folder);
  void Walk(const std::string& id, const base::Path& folder);
  static void Note(State& state, const std::string& id, std::optional<TreeUsage> usage, std::chrono::nanoseconds took);

  const std::chrono::nanoseconds period_;
  const kernel::ProjectQuota* const quota_;
  base::Guarded<State> state_;
  base::Executor walker_;  // last: its end waits for the walk
};

}  // namespace berth::stats
