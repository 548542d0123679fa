// Walking a cgroup and what is below it by folder descriptors: names in it may be the container's choice, and groups
// come and go while we look.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace berth::kernel::internal {

// Calls visit(folder descriptor, shown path) for the folder and all below it, parents first. A folder that is missing
// or vanishes is passed over. kResourceExhausted for more than a million groups.
base::Status WalkGroup(const base::Path& folder, const std::function<base::Status(int, const std::string&)>& visit);

// rmdir of all below and of the folder itself. Missing is success; EBUSY is kFailedPrecondition.
base::Status RemoveGroup(const base::Path& folder);

// The file's text; empty when it or the group is gone.
base::Result<std::string> ReadGroupFile(int folder, const char* name, const std::string& shown);

}  // namespace berth::kernel::internal
