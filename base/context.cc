#include "base/context.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <limits>

#include "base/unique_fd.h"

namespace berth::base {

struct Context::Shared {
  std::string id;
  UniqueFd event;
  std::atomic<bool> cancelled = false;
};

Context Context::Make(std::string id, TimePoint deadline) {
  Context context;
  context.shared_ = std::make_shared<Shared>();
  context.shared_->id = std::move(id);
  // Without a descriptor left, cancellation is still seen between waits and the deadline still holds.
  context.shared_->event.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  context.deadline_ = deadline;
  return context;
}

Context Context::WithTimeout(std::chrono::nanoseconds timeout) const {
  Context child = *this;
  const TimePoint now = Monotonic::now();
  if (timeout < TimePoint::max() - now) child.deadline_ = std::min(deadline_, now + timeout);
  return child;
}

void Context::Cancel() const {
  if (!shared_ || shared_->cancelled.exchange(true)) return;
  if (shared_->event) eventfd_write(shared_->event.get(), 1);
}

bool Context::cancelled() const {
  return shared_ && shared_->cancelled.load();
}

const std::string& Context::id() const {
  static const std::string kNone;
  return shared_ ? shared_->id : kNone;
}

int Context::fd() const {
  return shared_ ? shared_->event.get() : -1;
}

Status Context::Check(std::string_view what) const {
  if (cancelled()) return Fail(Code::kCancelled, what, ": cancelled");
  if (Monotonic::now() >= deadline_) return Fail(Code::kDeadlineExceeded, what, ": deadline exceeded");
  return {};
}

Result<bool> Context::Wait(int fd, short events, std::string_view what, TimePoint until) const {
  while (true) {
    RETURN_IF_ERROR(Check(what));
    pollfd fds[2] = {{fd, events, 0}, {this->fd(), POLLIN, 0}};
    const int ready = poll(fds, 2, PollTimeout(std::min(until, deadline_)));
    if (ready < 0 && errno != EINTR) return FailErrno(errno, "poll");
    if (ready > 0 && fds[0].revents != 0) return true;
    if (ready == 0 && Monotonic::now() >= until) {
      RETURN_IF_ERROR(Check(what));
      return false;
    }
  }
}

int PollTimeout(TimePoint when) {
  if (when == TimePoint::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(when - Monotonic::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, std::numeric_limits<int>::max()));
}

}  // namespace berth::base
