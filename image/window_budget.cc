#include "image/window_budget.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <utility>

namespace berth::image {

using base::Code;
using base::Fail;
using base::Result;

WindowBudget::Share::Share(Share&& other) noexcept
    : budget_(std::move(other.budget_)), bytes_(std::exchange(other.bytes_, 0)) {}

WindowBudget::Share& WindowBudget::Share::operator=(Share&& other) noexcept {
  Share old(std::move(*this));
  budget_ = std::move(other.budget_);
  bytes_ = std::exchange(other.bytes_, 0);
  return *this;
}

WindowBudget::Share::~Share() {
  if (budget_) budget_->GiveBack(bytes_);
}

std::shared_ptr<WindowBudget> WindowBudget::Make(uint64_t bytes) {
  return std::shared_ptr<WindowBudget>(new WindowBudget(bytes));
}

Result<WindowBudget::Share> WindowBudget::Take(uint64_t bytes, const base::Context& context) {
  if (bytes > all_) {
    return Fail(Code::kResourceExhausted, "a window of ", bytes >> 10,
                " KiB is needed, and all layers together may have ", all_ >> 10,
                " KiB (image.window_memory): compress the layer with a smaller one (zstd --long)");
  }
  Waiter waiter{.bytes = bytes, .turn = {}, .served = false};
  {
    const std::lock_guard lock(mutex_);
    if (waiters_.empty() && bytes <= free_) {
      free_ -= bytes;
      return Share(shared_from_this(), bytes);
    }
    waiter.turn.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!waiter.turn) return base::FailErrno(errno, "eventfd");
    waiters_.push_back(&waiter);
  }
  auto waited = context.Wait(waiter.turn.get(), POLLIN, "wait for memory for a zstd window");
  const std::lock_guard lock(mutex_);
  if (waiter.served) return Share(shared_from_this(), bytes);
  waiters_.remove(&waiter);
  Serve();  // who comes next may need less
  if (!waited) return tl::make_unexpected(std::move(waited).error());
  return Fail(Code::kInternal, "woken without memory for a zstd window");
}

uint64_t WindowBudget::free() const {
  const std::lock_guard lock(mutex_);
  return free_;
}

size_t WindowBudget::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiters_.size();
}

void WindowBudget::GiveBack(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  free_ += bytes;
  Serve();
}

void WindowBudget::Serve() {
  while (!waiters_.empty() && waiters_.front()->bytes <= free_) {
    Waiter& next = *waiters_.front();
    waiters_.pop_front();
    free_ -= next.bytes;
    next.served = true;
    // Under the mutex: the waiter, and its descriptor, end once it has that.
    eventfd_write(next.turn.get(), 1);
  }
}

}  // namespace berth::image
