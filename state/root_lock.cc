#include "state/root_lock.h"

#include <fcntl.h>

#include <cerrno>

#include "base/strings.h"

namespace berth::state {

base::Result<base::UniqueFd> LockRoot(const base::Path& root) {
  ASSIGN_OR_RETURN(base::UniqueFd lock, base::Open(root / "lock", O_RDWR | O_CREAT, 0600));
  struct flock whole = {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (fcntl(lock.get(), F_SETLK, &whole) == 0) return lock;
  if (errno != EACCES && errno != EAGAIN) return base::FailErrno(errno, "lock ", (root / "lock").native());
  const bool known = fcntl(lock.get(), F_GETLK, &whole) == 0 && whole.l_type != F_UNLCK && whole.l_pid > 0;
  return base::Fail(base::Code::kFailedPrecondition, "another berthd works on ", root.native(),
                    known ? base::Cat(" (process ", whole.l_pid, ")") : std::string());
}

}  // namespace berth::state
