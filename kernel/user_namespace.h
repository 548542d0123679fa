// User namespaces: the map of a pod's ids to the host's, and file systems seen through it. A threaded process cannot
// enter one; what must happen inside is done by berth-helper.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/child.h"
#include "base/file.h"
#include "base/result.h"

namespace berth::kernel {

// Ids 0 … size-1 inside are host … host+size-1 outside.
struct IdRange {
  uint32_t host = 0;
  uint32_t size = 0;
  bool operator==(const IdRange&) const = default;
};
struct UserMap {
  IdRange uids;
  IdRange gids;
  bool operator==(const UserMap&) const = default;
};

// A process in a new user namespace with this map, and in those of `flags` (CLONE_NEWNET …) made inside it, so that it
// owns them. It does nothing and ends with its standard input (the pipe's other end), or with us. Its namespaces are at
// /proc/PID/ns.
struct NamespaceHolder {
  base::Child child;
  base::UniqueFd input;
};
base::Result<NamespaceHolder> HoldNamespaces(const base::Path& helper, const UserMap& map, int flags);

// `source` and nothing mounted below it, on `target`, with the owners that it has seen from the user namespace pinned
// at `space`: host's root is its root. `err` EINVAL: the file system cannot do that. Linux 5.12.
base::Status MountMapped(const base::Path& source, const base::Path& target, const base::Path& space);

// Whether overlayfs can have `folder` seen through a map as a lower layer: Linux 5.19, and a file system that can.
base::Result<bool> CanMountMapped(const base::Path& folder, const base::Path& helper);

}  // namespace berth::kernel
