// The part of a container that dies with the daemon: descriptors and what callers wait for. Used by containers*.cc
// alone.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "base/guarded.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "container/containers.h"
#include "container/exec_group.h"

namespace berth::container {

struct Containers::Live {
  base::UniqueFd exited;   // eventfd, readable once the state is EXITED
  base::UniqueFd process;  // pidfd of the first process; -1 when there is none any more
  std::shared_ptr<state::Ledger> ledger;
  ExecLeftovers exec_leftovers;

  struct Stopping {
    bool running = false;  // a thread is at it
    base::TimePoint kill_at = base::TimePoint::max();
  };
  base::Guarded<Stopping> stopping;
  // When the runtime was told to start it; 0 before, and when that failed. What ends at once may be seen to end before
  // the runtime has returned, and has been started all the same.
  std::atomic<int64_t> starting = 0;
  std::timed_mutex
      updating;  // UpdateResources, one at a time; and the start of a restored container, which a stop waits for
  base::UniqueFd sooner;  // eventfd: kill_at became earlier
};

}  // namespace berth::container
