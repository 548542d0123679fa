// What a container of a pod with a user namespace needs beside others: owners that are ids of its pod.
#pragma once

#include <vector>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"
#include "container/pod.h"
#include "kernel/foreign_path.h"
#include "state/ledger.h"

namespace berth::container {

// Where the image store's folder is to be looked at for this pod's overlays; "" where it is.
inline base::Path ImagesSeenBy(const Pod& pod) {
  return pod.user_namespace ? pod.user_namespace->images : base::Path();
}

// Lets everybody walk through a folder of ours, not read it: the pod's root must reach what is in it.
base::Status LetThrough(const base::Path& folder);

// base::MakeDirsInRoot; what is made belongs to the pod's root.
base::Status MakeOwnedFolders(int rootfs, const base::Path& path, const Pod& pod);

// The sources of the mounts of host paths, by index of the request's mounts; "" for the others, and for all of a pod without a
// user namespace. Each is bound below `folder` (written into the ledger before): the runtime takes them up as the pod's root, who
// cannot walk through folders of the host's, and mapped owners (uidMappings, gidMappings) only the newest runtimes can do.
// kInvalidArgument for mappings that are not the pod's; kFailedPrecondition where the source's file system cannot do it.
base::Result<std::vector<base::Path>> BindSources(const cri::ContainerConfig& config, const Pod& pod, const base::Path& folder,
                                                  state::Ledger& ledger, kernel::ForeignPaths& paths, const base::Context& context);

}  // namespace berth::container
