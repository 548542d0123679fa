// The kernel's count of OOM kills in the container's cgroup: read whenever the kernel says that it changed, and kept,
// because the cgroup may vanish together with the last process in it.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/unique_fd.h"

namespace berth::conmon {

class OomWatch {
 public:
  // Finds the memory cgroup of `pid` (cgroup v1 or v2) below `cgroup_root` and counts from here on. Returns false when
  // fd() cannot be watched; the count then changes by Refresh alone, if at all.
  bool Start(const char* cgroup_root, pid_t pid);

  int fd() const { return event_ ? event_.get() : counter_.get(); }
  // The epoll events of fd(): v1 counts on an eventfd, v2 raises an exceptional condition on the file.
  uint32_t events() const;

  // fd() was reported. False when the cgroup is gone and there is nothing left to watch.
  bool Notified();
  // Reads the counter, if it can still be read. Counts never go back.
  bool Refresh();
  uint64_t kills() const { return kills_ - before_; }
  void Stop();

 private:
  base::UniqueFd counter_;  // v2: memory.events; v1: memory.oom_control
  base::UniqueFd event_;    // v1 alone
  uint64_t before_ = 0;     // of whoever used the cgroup earlier
  uint64_t kills_ = 0;
};

}  // namespace berth::conmon
