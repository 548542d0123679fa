// The cgroup of one exec, below its container's (cgroup v2): all that the exec started can be found and killed, whoever
// its parents are by then.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/guarded.h"
#include "kernel/cgroup.h"

namespace berth::container {

// Folders of groups in which execs of one container left something running.
using ExecLeftovers = base::Guarded<std::vector<base::Path>>;
// Removes those in which nothing lives any more.
void SweepExecGroups(ExecLeftovers& left);
// What a former daemon's execs left. Not while any exec runs.
std::vector<base::Path> FindExecGroups(const kernel::CgroupTree& cgroups, const base::Path& container);

class ExecGroup {
 public:
  // None: an exec that cannot be told from the rest of the container.
  ExecGroup() = default;
  // No controller is switched on for it: it has no limits of its own, costs the kernel nothing when it is gone, and the
  // container's own processes may stay where they are. Where the container has switched some on for groups of its own
  // this is one more of those. None when it cannot be made: the container has ended, or its cgroup may have no more
  // descendants. `container`: as kernel::ResolveCgroup tells.
  static ExecGroup Make(const kernel::CgroupTree& cgroups, const base::Path& container, ExecLeftovers& left);
  ExecGroup(ExecGroup&& other) noexcept
      : cgroups_(std::exchange(other.cgroups_, nullptr)), group_(std::move(other.group_)), left_(other.left_) {}
  ExecGroup& operator=(ExecGroup&&) = delete;
  // Removes it, or puts it among the leftovers while something lives in it.
  ~ExecGroup();

  // Relative to the container's; empty: none.
  std::string name() const { return cgroups_ == nullptr ? std::string() : group_.filename().native(); }
  void Kill() const;
  // Kills what is in it and waits for its end, for a bounded time.
  void End() const;

 private:
  ExecGroup(const kernel::CgroupTree& cgroups, base::Path group, ExecLeftovers& left)
      : cgroups_(&cgroups), group_(std::move(group)), left_(&left) {}
  base::Path folder() const { return cgroups_->Folders(group_).front(); }

  const kernel::CgroupTree* cgroups_ = nullptr;
  base::Path group_;
  ExecLeftovers* left_ = nullptr;
};

}  // namespace berth::container
