// What a call carries through every function that can wait: a deadline and a way to be told to stop.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/time.h"

namespace berth::base {

// Copies share one cancellation. Thread-safe. A child made by WithTimeout is cancelled with its parent.
class Context {
 public:
  // Never cancelled, no deadline: for the daemon's own background work and for tests.
  Context() = default;

  // A cancellable context. `id` names the request in logs and in what plugins are given.
  static Context Make(std::string id = {}, TimePoint deadline = TimePoint::max());

  // The same cancellation with the earlier of both deadlines.
  Context WithTimeout(std::chrono::nanoseconds timeout) const;

  void Cancel() const;  // idempotent; no effect on a default context
  bool cancelled() const;
  TimePoint deadline() const { return deadline_; }
  const std::string& id() const;

  // kCancelled, kDeadlineExceeded or success; `what` says what was being waited for.
  Status Check(std::string_view what) const;

  // Waits until fd has one of `events` (poll.h), the context ends, or `until` passes. True when the fd is ready,
  // false when `until` came first; an error when the context ended. fd < 0 waits for the context alone.
  Result<bool> Wait(int fd, short events, std::string_view what, TimePoint until = TimePoint::max()) const;

  // Readable once cancelled; -1 for a default context. Deadlines do not make it readable.
  int fd() const;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
  TimePoint deadline_ = TimePoint::max();
};

// Milliseconds until `when` for poll(2), rounded up; -1 for TimePoint::max(), 0 when it has passed.
int PollTimeout(TimePoint when);

}  // namespace berth::base
