// The daemon's threads, bounded by class of work so that one class starves no other.
#pragma once

#include "base/executor.h"
#include "config/config.h"

namespace berth::server {

// Destroyed in reverse order: those that wait for others go first.
struct Executors {
  explicit Executors(const config::Config::Limits& limits)
      : removal({.name = "removal", .threads = Count(limits.removal_threads)}),
        stops({.name = "stop", .threads = Count(limits.stop_threads)}),
        disk({.name = "disk", .threads = 16}),
        work({.name = "work", .threads = Count(limits.operation_threads)}),
        query({.name = "query", .threads = 8}),
        exec({.name = "exec", .threads = Count(limits.exec_threads)}),
        pull({.name = "pull", .threads = Count(limits.pull_threads)}),
        waiters({.name = "waiter", .threads = Count(limits.stop_threads)}),
        lifecycle({.name = "lifecycle", .threads = Count(limits.lifecycle_threads)}) {}

  base::Executor removal;    // deleting trees and images
  base::Executor stops;      // one thread for each container that is being stopped
  base::Executor disk;       // records beside slow steps, and exits: what bodies of operations wait for
  base::Executor work;       // bodies of operations
  base::Executor query;      // calls that read but may wait
  base::Executor exec;       // ExecSync
  base::Executor pull;       // PullImage
  base::Executor waiters;    // StopContainer: waits for a grace period, does nothing
  base::Executor lifecycle;  // calls that wait for operations

 private:
  static size_t Count(int64_t threads) { return static_cast<size_t>(threads); }
};

}  // namespace berth::server
