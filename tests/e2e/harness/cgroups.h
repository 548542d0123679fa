// The kernel's own files of a pod's and a container's cgroup, seen from outside.
#pragma once

#include <string>

#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {

inline bool OnCgroupV2() {
  return base::Exists("/sys/fs/cgroup/cgroup.controllers");
}
// `controller` names a v1 hierarchy.
base::Path PodGroup(const Made& made, const std::string& controller);
base::Path ContainerGroup(const Made& made, const std::string& controller);

// The file's text without the last newline; the error's where it cannot be read. Its name differs between v1 and v2.
std::string GroupFile(const base::Path& group, const std::string& v1_name, const std::string& v2_name);

}  // namespace berth::e2e
