// One program at a time works on a state root.
#pragma once

#include "base/file.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace berth::server {

// Held while the descriptor is open. kFailedPrecondition when another has it; waits for nobody.
base::Result<base::UniqueFd> LockStateRoot(const base::Path& root);

}  // namespace berth::server
