// The container's mount table: the runtime's defaults, the pod's files, the request's mounts.
#pragma once

#include <string>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "container/pod.h"
#include "cri-proto/cri.h"
#include "kernel/foreign_path.h"
#include "oci/spec.h"

namespace berth::container {

struct MountPlan {
  std::vector<oci::Mount> mounts;  // parents before what lies below them
  std::string rootfs_propagation;  // "", "rslave" or "rshared"
};

struct MountOptions {
  bool recursive_read_only = false;  // the OCI runtime and the kernel know "rro"
};

// Looks at host paths through `paths` and makes missing ones as folders, as both established runtimes do. A mount of the
// request replaces the default one at the same place; one of /dev or /sys also those below. kInvalidArgument names the
// mount's container_path; an unsupported request is an error, never dropped.
base::Result<MountPlan> MapMounts(const cri::ContainerConfig& config, const Pod& pod, const MountOptions& options,
                                  kernel::ForeignPaths& paths, const base::Context& context);

}  // namespace berth::container
