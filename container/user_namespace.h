// What a container of a pod with a user namespace needs beside others: owners that are ids of its pod.
#pragma once

#include <string>
#include <vector>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"
#include "container/pod.h"
#include "image/store.h"
#include "kernel/foreign_path.h"
#include "state/ledger.h"

namespace berth::oci {
struct Spec;
}

namespace berth::container {

// The lower folders of an image for an overlay of this pod, top first, with the owners that the pod is to see: the
// store's own folders, those seen through the pod's mapped mount, or copies, which `container` keeps until
// image::Store::Unref.
base::Result<std::vector<base::Path>> LowerFolders(image::Store& images, const image::Image& image, const Pod& pod,
                                                   const std::string& container, const base::Context& context);

// Names the owners of the copies that this pod's containers use; "" where they use none.
std::string CopiedOwners(const Pod& pod);

// Lets everybody walk through a folder of ours, not read it: the pod's root must reach what is in it.
base::Status LetThrough(const base::Path& folder);

// base::MakeDirsInRoot; what is made belongs to the pod's root.
base::Status MakeOwnedFolders(int rootfs, const base::Path& path, const Pod& pod);

// The sources of the mounts of host paths, by index of the request's mounts; "" for the others, and for all of a pod
// without a user namespace. Each is bound below `folder` (written into the ledger before): the runtime takes them up as
// the pod's root, who cannot walk through folders of the host's, and mapped owners (uidMappings, gidMappings) only the
// newest runtimes can do. kInvalidArgument for mappings that are not the pod's; kFailedPrecondition where the source's
// file system cannot do it.
base::Result<std::vector<base::Path>> BindSources(const cri::ContainerConfig& config, const Pod& pod,
                                                  const base::Path& folder, state::Ledger& ledger,
                                                  kernel::ForeignPaths& paths, const base::Context& context);

// For runc, which makes no devices in a user namespace but binds the host's of the same path: what the request wants
// under another path becomes a mount.
void BindRenamedDevices(const cri::ContainerConfig& config, oci::Spec& spec);

}  // namespace berth::container
