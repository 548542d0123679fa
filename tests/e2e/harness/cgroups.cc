#include "tests/e2e/harness/cgroups.h"

#include "base/strings.h"

namespace berth::e2e {

base::Path PodGroup(const Made& made, const std::string& controller) {
  const base::Path root = OnCgroupV2() ? "/sys/fs/cgroup" : base::Path("/sys/fs/cgroup") / controller;
  const std::string& parent = made.pod_config.linux().cgroup_parent();
  if (!parent.ends_with(".slice")) return root.native() + parent;
  base::Path group = root;
  const std::string name = parent.substr(parent.rfind('/') == std::string::npos ? 0 : parent.rfind('/') + 1);
  for (size_t dash = name.find('-'); dash != std::string::npos; dash = name.find('-', dash + 1))
    group /= name.substr(0, dash) + ".slice";
  return group / name;
}

base::Path ContainerGroup(const Made& made, const std::string& controller) {
  const bool slice = made.pod_config.linux().cgroup_parent().ends_with(".slice");
  return PodGroup(made, controller) / base::Cat("berth-", made.container, slice ? ".scope" : "");
}

std::string GroupFile(const base::Path& group, const std::string& v1_name, const std::string& v2_name) {
  const auto text = base::ReadFile(group / (OnCgroupV2() ? v2_name : v1_name));
  return text ? std::string(base::Trim(*text)) : text.error().message;
}

}  // namespace berth::e2e
