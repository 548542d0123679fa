#include "server/state_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

namespace berth::server {

base::Result<base::UniqueFd> LockStateRoot(const base::Path& root) {
  ASSIGN_OR_RETURN(base::UniqueFd lock, base::Open(root / "lock", O_RDWR | O_CREAT, 0600));
  if (flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno == EWOULDBLOCK) return base::Fail(base::Code::kFailedPrecondition, "another berthd works on ", root.native());
  return base::FailErrno(errno, "lock ", (root / "lock").native());
}

}  // namespace berth::server
