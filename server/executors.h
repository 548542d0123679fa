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
        pod_end_work({.name = "pod end work", .threads = kPods}),
        pod_work({.name = "pod work", .threads = kPods}),
        leftovers({.name = "leftovers", .threads = 4}),
        query({.name = "query", .threads = 8}),
        exec({.name = "exec", .threads = Count(limits.exec_threads)}),
        streams({.name = "stream", .threads = Count(limits.stream_threads), .queue = 8192}),
        pull({.name = "pull", .threads = Count(limits.pull_threads)}),
        waiters({.name = "waiter", .threads = Count(limits.stop_threads)}),
        lifecycle({.name = "lifecycle", .threads = Count(limits.lifecycle_threads)}),
        pods({.name = "pods", .threads = kPods}),
        pod_ends({.name = "pod ends", .threads = kPods}) {}

  base::Executor removal;  // deleting trees and images
  base::Executor stops;    // one thread for each container that is being stopped
  base::Executor disk;     // records beside slow steps, and exits: what bodies of operations wait for
  base::Executor work;     // bodies of operations on containers
  // Pods wait for plugins that are not ours: those of the whole node may hang without one thread missing elsewhere.
  base::Executor pod_end_work;  // bodies of StopPodSandbox and RemovePodSandbox
  base::Executor pod_work;      // bodies of RunPodSandbox
  base::Executor leftovers;     // undoing, behind, what could not be undone
  base::Executor query;         // calls that read but may wait
  base::Executor exec;          // ExecSync
  base::Executor streams;       // what streaming clients wait for: starting an exec, connecting to a pod
  base::Executor pull;          // PullImage
  base::Executor waiters;       // StopContainer: waits for a grace period, does nothing
  base::Executor lifecycle;     // calls that wait for operations on containers
  base::Executor pods;          // calls that wait for RunPodSandbox's
  base::Executor pod_ends;      // calls that wait for StopPodSandbox's and RemovePodSandbox's

 private:
  static constexpr size_t kPods = 256;  // threads come with the work and go without
  static size_t Count(int64_t threads) { return static_cast<size_t>(threads); }
};

}  // namespace berth::server
