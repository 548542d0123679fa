// A layer's files with the owners that they have seen from a user namespace.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"
#include "kernel/user_namespace.h"

namespace berth::image {

struct ShiftedTree {
  uint64_t bytes = 0;  // as UnpackedLayer counts them
  uint64_t inodes = 0;
  uint64_t links = 0;
};

// Makes `to` a copy of the folder `from` in which each id that the map has is the host's for it; others, which are
// nobody inside a namespace, are the host's nobody. Ids in capabilities and ACLs too; modes with their set-id bits,
// times, hard links, holes, devices and overlayfs' whiteouts and opaque marks as they are. Looks at the context at each
// file and in large ones.
base::Result<ShiftedTree> CopyShifted(const base::Path& from, const base::Path& to, const kernel::UserMap& map,
                                      const base::Context& context);

uint32_t ShiftId(uint32_t id, kernel::IdRange range);
// The value of security.capability, of any revision, as the namespace's root would have set it; nothing when that root
// is not in it.
std::optional<std::string> ShiftCapability(std::string_view value, kernel::IdRange uids);
// The value of system.posix_acl_access or system.posix_acl_default; what is no such value is returned as it is.
std::string ShiftAcl(std::string value, const kernel::UserMap& map);

}  // namespace berth::image
