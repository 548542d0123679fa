// pid 1 of a pod whose containers share a pid namespace.
#pragma once

#include "base/child.h"
#include "base/file.h"
#include "base/result.h"
#include "container/container.h"
#include "kernel/cgroup.h"

namespace berth::sandbox {

struct Pause {
  container::ProcessRef process;
  base::Child child;
};

// Starts `program` (berth-pause) as pid 1 of a new pid namespace, in the cgroup `group`, which exists. It outlives the daemon
// once its child is Release()d.
// Returns once it is isolated from the host; an error names the step that failed, and nothing is left running.
base::Result<Pause> LaunchPause(const base::Path& program, const base::Path& group, const kernel::CgroupTree& cgroups);

}  // namespace berth::sandbox
