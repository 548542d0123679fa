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
  std::vector<oci::Mount>
      mounts;  // kernel file systems, then the pod's files and the request's, parents before children
  std::string rootfs_propagation;  // "", "rslave" or "rshared"
};

struct MountOptions {
  bool recursive_read_only = false;  // the OCI runtime and the kernel know "rro"
  bool cgroup_v2 = false;
  bool systemd = false;  // the first process is systemd, and has what it needs
  // The daemon's state root and run root, free of links. A container that mounts what holds one of them gets it as a
  // slave, even if it asked for a private mount: its copies of other containers' mounts would keep those alive.
  std::vector<base::Path> own_roots;
  std::vector<base::Path> bound;          // BindSources: by index of the request's mounts
  std::vector<base::Path> image_volumes;  // ImageVolumes::sources: by index of the request's mounts
};

// Whether a mount of the request is at `path` or above it.
bool IsCovered(const cri::ContainerConfig& config, const std::string& path);

// Looks at host paths through `paths` and makes missing ones as folders, as both established runtimes do. A mount of
// the request replaces the default one at the same place; one of /dev or /sys also those below. kInvalidArgument names
// the mount's container_path; an unsupported request is an error, never dropped. selinux_relabel is RelabelVolumes'
// work.
base::Result<MountPlan> MapMounts(const cri::ContainerConfig& config, const Pod& pod, const MountOptions& options,
                                  kernel::ForeignPaths& paths, const base::Context& context);

}  // namespace berth::container
