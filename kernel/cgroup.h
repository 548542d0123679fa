// The host's cgroup hierarchies, v1, v2 or both (hybrid), behind one set of calls.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"

namespace berth::kernel {

enum class CgroupMode {
  kV1,      // controllers on v1 hierarchies, no v2 mounted
  kHybrid,  // controllers on v1 hierarchies, a v2 hierarchy beside them
  kV2,      // one v2 hierarchy and nothing else
};

struct CgroupHierarchy {
  base::Path mount;  // "/sys/fs/cgroup/memory"
  bool v2 = false;
  // "cpu", "memory"; "name=systemd" for a named v1 hierarchy. None for the v2 one of a hybrid host: OCI runtimes only
  // keep processes in that.
  std::vector<std::string> controllers;
};

// What the kubelet and OCI call a cgroup, as a path below each hierarchy's mount, "/" first:
//   /kubepods/pod1                  -> /kubepods/pod1          (cgroupfs driver; without the first "/" the same)
//   a-b.slice                       -> /a.slice/a-b.slice      (systemd driver)
//   a-b.slice:berth:ID              -> /a.slice/a-b.slice/berth-ID.scope
// kInvalidArgument for "..", for names that no cgroup or slice can have, and for the root itself.
base::Result<base::Path> ResolveCgroup(std::string_view cgroups_path);

// Made once; constant and thread-safe afterwards. Every `group` is what ResolveCgroup returns. The root is refused
// (kInvalidArgument) by all that change something.
class CgroupTree {
 public:
  // Reads which hierarchies are mounted. Another file of the same form may be given for trees that are not the host's.
  static base::Result<CgroupTree> Detect(const base::Path& mountinfo = "/proc/self/mountinfo");

  CgroupMode mode() const { return mode_; }
  bool unified() const { return mode_ == CgroupMode::kV2; }
  const std::vector<CgroupHierarchy>& hierarchies() const { return hierarchies_; }
  bool HasController(std::string_view controller) const;

  // The group's folder in the hierarchy that has the controller, whether or not the folder exists. kNotFound when no
  // hierarchy has it.
  base::Result<base::Path> Folder(const base::Path& group, std::string_view controller) const;
  // v2: the group's one folder; v1: one for each hierarchy.
  std::vector<base::Path> Folders(const base::Path& group) const;

  bool Exists(const base::Path& group) const;  // in any hierarchy

  // mkdir -p in every hierarchy. v2: every controller that an ancestor has is switched on for its children, where the
  // kernel allows it; a group that has groups below can then hold no process itself. v1: an empty cpuset takes its
  // parent's cpus and mems. Existing folders are success; a failure removes what this call made.
  base::Status Create(const base::Path& group) const;

  // Moves a process (0: the calling one) into the group, in every hierarchy.
  base::Status AddProcess(const base::Path& group, pid_t pid) const;

  // Removes the group and all groups below it in every hierarchy. Missing is success; EBUSY (kFailedPrecondition) while
  // a process is left in it: Kill and WaitEmpty come first.
  base::Status Remove(const base::Path& group) const;

  // SIGKILL to every process in the group and below, frozen ones too. Returns once all are signalled; WaitEmpty tells
  // when they are gone. Missing is success.
  base::Status Kill(const base::Path& group) const;

  // Pids in the group and below, sorted; processes that our pid namespace does not see are left out. Empty when
  // missing.
  base::Result<std::vector<pid_t>> Processes(const base::Path& group) const;

  // Waits until no process is left in the group and below. Missing is success.
  base::Status WaitEmpty(const base::Path& group, const base::Context& context) const;

  // Processes killed for want of memory in the group and below, since it was made. kNotFound without group or
  // controller.
  base::Result<uint64_t> OomKillCount(const base::Path& group) const;

 private:
  CgroupMode mode_ = CgroupMode::kV1;
  std::vector<CgroupHierarchy> hierarchies_;
};

}  // namespace berth::kernel
