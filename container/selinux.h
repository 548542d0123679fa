// SELinux labels of pods and containers: "user:role:type:level".
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"
#include "cri-proto/cri.h"
#include "kernel/foreign_path.h"

namespace runtime::v1 {
class SELinuxOption;
}

namespace berth::container {

inline bool HasSelinux(const base::Path& sys = "/sys") {
  return base::Exists(sys / "fs/selinux/enforce");
}

// kInvalidArgument names the part: one that holds what no label can, or a level that is none ("s0", "s0-s1:c0.c1023").
base::Status CheckSelinux(const runtime::v1::SELinuxOption& options);

// A level of two categories, "s0:c12,c345": what one pod may touch and others may not. Not one of `taken`, as long as
// there are others.
std::string ChooseLevel(const std::set<std::string>& taken);

// The label of a pod's or a container's process: the options' parts, and the usual ones where those are empty. `level`:
// for options without one.
std::string ProcessLabel(const runtime::v1::SELinuxOption& options, std::string_view level);
// The label of files that a process with this label may use.
std::string FileLabel(std::string_view process_label);
// What is behind the third colon; "" for what is no label.
std::string_view LevelOf(std::string_view label);

// What a container is labelled with. Both empty: not at all.
struct Labels {
  std::string process;  // empty for a privileged container, which nothing confines
  std::string files;    // of its root file system and of volumes that are to be relabelled
};
// `pod_label`: of the pod's processes, "" where it has none.
Labels LabelsOf(const cri::LinuxContainerSecurityContext& security, const std::string& pod_label);

// Labels one file or folder of ours. A file system without labels is success.
base::Status SetLabel(const base::Path& path, const std::string& label);

// Labels the host paths of those mounts that ask for it, and all below. kInvalidArgument for a folder of the system,
// whose own programs would be locked out. Nothing with an empty label, or one that may touch everything (spc_t).
base::Status RelabelVolumes(const cri::ContainerConfig& config, const std::string& label, kernel::ForeignPaths& paths,
                            const base::Context& context);

}  // namespace berth::container
