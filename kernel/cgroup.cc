#include "kernel/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>

#include "base/strings.h"
#include "kernel/cgroup_folder.h"
#include "kernel/mount.h"

namespace berth::kernel {
namespace {

using base::Code;
using base::Fail;
using base::FailErrno;
using base::Path;
using base::Result;
using base::Status;

constexpr std::array<std::string_view, 14> kV1Controllers = {"cpu",     "cpuacct", "cpuset",   "memory", "devices",
                                                             "freezer", "net_cls", "net_prio", "blkio",  "perf_event",
                                                             "hugetlb", "pids",    "rdma",     "misc"};

// The super options of a v1 mount hold its controllers among other words: "rw,cpu,cpuacct".
std::vector<std::string> V1Controllers(const MountPoint& mount) {
  std::vector<std::string> out;
  for (const std::string_view word : base::Split(mount.super_options, ',')) {
    if (word.starts_with("name=") ||
        std::find(kV1Controllers.begin(), kV1Controllers.end(), word) != kV1Controllers.end()) {
      out.emplace_back(word);
    }
  }
  return out;
}

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> out;
  for (const std::string_view word : base::Split(base::Trim(text), ' ')) {
    if (!word.empty()) out.emplace_back(word);
  }
  return out;
}

bool Contains(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

Path Join(const CgroupHierarchy& hierarchy, const Path& group) {
  return hierarchy.mount / group.relative_path();
}

Status RefuseRoot(const Path& group) {
  if (group.is_absolute() && group.has_filename()) return {};
  return Fail(Code::kInvalidArgument, "cgroup ", group.native(), ": not one of ours");
}

// A v1 cpuset that is made by hand starts empty and takes no process.
Status FillCpuset(const Path& parent, const Path& folder) {
  for (const char* name : {"cpuset.cpus", "cpuset.mems"}) {
    ASSIGN_OR_RETURN(const std::string own, base::ReadFile(folder / name, 64 << 10));
    if (!base::Trim(own).empty()) continue;
    ASSIGN_OR_RETURN(const std::string above, base::ReadFile(parent / name, 64 << 10));
    if (base::Trim(above).empty()) continue;
    RETURN_IF_ERROR(base::WriteKernelFile(folder / name, base::Trim(above)));
  }
  return {};
}

// Switches on for the children of `folder` what it has itself. One that the kernel refuses (a group with processes of
// its own, real-time processes with "cpu") is missing below; that is no reason to have no group at all.
Status DelegateControllers(const Path& folder) {
  ASSIGN_OR_RETURN(const std::string has, base::ReadFile(folder / "cgroup.controllers", 4096));
  ASSIGN_OR_RETURN(const std::string given, base::ReadFile(folder / "cgroup.subtree_control", 4096));
  std::vector<std::string> missing;
  for (const std::string& name : Words(has)) {
    if (!Contains(Words(given), name)) missing.push_back("+" + name);
  }
  if (missing.empty() || base::WriteKernelFile(folder / "cgroup.subtree_control", base::Join(missing, " "))) return {};
  for (const std::string& one : missing) {
    const Status refused = base::WriteKernelFile(folder / "cgroup.subtree_control", one);
    (void)refused;
  }
  return {};
}

Status MakeInHierarchy(const CgroupHierarchy& hierarchy, const Path& group, std::vector<Path>& made) {
  const bool cpuset = !hierarchy.v2 && Contains(hierarchy.controllers, "cpuset");
  Path at = hierarchy.mount;
  for (const Path& part : group.relative_path()) {
    if (!hierarchy.controllers.empty() && hierarchy.v2) RETURN_IF_ERROR(DelegateControllers(at));
    const Path folder = at / part;
    if (mkdir(folder.c_str(), 0755) == 0)
      made.push_back(folder);
    else if (errno != EEXIST)
      return FailErrno(errno, "make cgroup ", folder.native());
    if (cpuset) RETURN_IF_ERROR(FillCpuset(at, folder));
    at = folder;
  }
  return {};
}

}  // namespace

Result<CgroupTree> CgroupTree::Detect(const Path& mountinfo) {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(mountinfo, 64 << 20));
  ASSIGN_OR_RETURN(const auto mounts, ParseMountInfo(text));
  CgroupTree tree;
  std::set<dev_t> seen;  // a hierarchy mounted twice is still one
  bool v1 = false;
  bool v2 = false;
  for (const MountPoint& mount : mounts) {
    if (mount.type != "cgroup" && mount.type != "cgroup2") continue;
    // mountinfo is in the order of mounting: a later mount on the same folder hides this one.
    const bool hidden = std::any_of(mounts.begin() + (&mount - mounts.data()) + 1, mounts.end(),
                                    [&](const MountPoint& later) { return later.target == mount.target; });
    if (hidden || !seen.insert(mount.device).second) continue;
    CgroupHierarchy hierarchy{.mount = mount.target, .v2 = mount.type == "cgroup2"};
    if (hierarchy.v2) {
      v2 = true;
    } else {
      hierarchy.controllers = V1Controllers(mount);
      v1 = v1 || std::any_of(hierarchy.controllers.begin(), hierarchy.controllers.end(),
                             [](const std::string& name) { return !name.starts_with("name="); });
    }
    tree.hierarchies_.push_back(std::move(hierarchy));
  }
  if (!v1 && !v2) return Fail(Code::kFailedPrecondition, "no cgroup hierarchy is mounted");
  tree.mode_ = !v1 ? CgroupMode::kV2 : v2 ? CgroupMode::kHybrid : CgroupMode::kV1;
  if (!tree.unified()) return tree;
  // Beside a v2 hierarchy with all controllers a named v1 one is some program's private register.
  std::erase_if(tree.hierarchies_, [](const CgroupHierarchy& one) { return !one.v2; });
  CgroupHierarchy& hierarchy = tree.hierarchies_.front();
  ASSIGN_OR_RETURN(const std::string has, base::ReadFile(hierarchy.mount / "cgroup.controllers", 4096));
  hierarchy.controllers = Words(has);
  return tree;
}

bool CgroupTree::HasController(std::string_view controller) const {
  return std::any_of(hierarchies_.begin(), hierarchies_.end(),
                     [&](const CgroupHierarchy& one) { return Contains(one.controllers, controller); });
}

Result<Path> CgroupTree::Folder(const Path& group, std::string_view controller) const {
  for (const CgroupHierarchy& one : hierarchies_) {
    if (Contains(one.controllers, controller)) return Join(one, group);
  }
  return Fail(Code::kNotFound, "cgroup controller ", controller, ": this host has none");
}

std::vector<Path> CgroupTree::Folders(const Path& group) const {
  std::vector<Path> out;
  out.reserve(hierarchies_.size());
  for (const CgroupHierarchy& one : hierarchies_) out.push_back(Join(one, group));
  return out;
}

bool CgroupTree::Exists(const Path& group) const {
  const auto folders = Folders(group);
  return std::any_of(folders.begin(), folders.end(), [](const Path& folder) { return base::Exists(folder); });
}

Status CgroupTree::Create(const Path& group) const {
  RETURN_IF_ERROR(RefuseRoot(group));
  std::vector<Path> made;
  for (const CgroupHierarchy& one : hierarchies_) {
    Status status = MakeInHierarchy(one, group, made);
    if (status) continue;
    for (auto folder = made.rbegin(); folder != made.rend(); ++folder) {
      if (rmdir(folder->c_str()) != 0 && errno != ENOENT) {
        status.error().clean_up += FailErrno(errno, "remove ", folder->native()).value().message + "; ";
      }
    }
    return status;
  }
  return {};
}

Status CgroupTree::AddProcess(const Path& group, pid_t pid) const {
  RETURN_IF_ERROR(RefuseRoot(group));
  for (const Path& folder : Folders(group)) {
    RETURN_IF_ERROR(base::WriteKernelFile(folder / "cgroup.procs", std::to_string(pid)), "add process ", pid);
  }
  return {};
}

Status CgroupTree::Remove(const Path& group) const {
  RETURN_IF_ERROR(RefuseRoot(group));
  Status first;
  for (const Path& folder : Folders(group)) {
    Status status = internal::RemoveGroup(folder);
    if (!status && first) first = std::move(status);
  }
  return first;
}

}  // namespace berth::kernel
