// One program at a time works on a state root.
#pragma once

#include "base/file.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace berth::state {

// Held while the descriptor is open. kFailedPrecondition when another process has it; waits for nobody.
// A record lock (fcntl(2), F_SETLK), since it belongs to this process alone: a child of a killed daemon that is between
// fork and exec still has the descriptor, and with flock(2) would keep the next daemon out. For that, nothing else in
// this process may open and close the file: that gives the lock up.
base::Result<base::UniqueFd> LockRoot(const base::Path& root);

}  // namespace berth::state
