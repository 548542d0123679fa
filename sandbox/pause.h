// pid 1 of a pod whose containers share a pid namespace.
#pragma once

#include <sys/types.h>

#include <functional>

#include "base/child.h"
#include "base/file.h"
#include "base/result.h"
#include "container/container.h"

namespace berth::sandbox {

struct Pause {
  container::ProcessRef process;
  base::Child child;
};

// Starts `program` (berth-pause) as pid 1 of a new pid namespace. It outlives the daemon once its child is Release()d.
// `place` moves it into its cgroup before it does anything; when that fails it is ended. Returns once it is isolated
// from the host; an error names the step that failed, and nothing is left running. `user_namespace`: where the one is
// pinned that its pid namespace shall belong to; "" for the host's.
base::Result<Pause> LaunchPause(const base::Path& program, const base::Path& user_namespace,
                                const std::function<base::Status(pid_t)>& place);

}  // namespace berth::sandbox
