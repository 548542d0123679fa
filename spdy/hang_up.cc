#include "spdy/hang_up.h"

#include <sys/epoll.h>

#include <chrono>
#include <utility>

#include "base/unique_fd.h"

namespace berth::spdy {

using Descriptor = boost::asio::posix::stream_descriptor;

constexpr auto kProbe = std::chrono::seconds(1);

// Asio waits for a socket to be readable, which one is that has unread data. An epoll descriptor that asks for the
// peer's end alone is readable when that has come.
void HangUp::Watch(const boost::asio::any_io_executor& loop, int socket, Calls calls) {
  Stop();
  if (!epoll_) {
    base::UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
    epoll_event wanted{};
    wanted.events = EPOLLRDHUP;
    // Without it a peer that has gone is noticed once reading goes on.
    if (!epoll || epoll_ctl(epoll.get(), EPOLL_CTL_ADD, socket, &wanted) != 0) return;
    epoll_ = std::make_unique<Descriptor>(loop, epoll.Release());
    timer_.emplace(loop);
  }
  calls_ = std::make_shared<Calls>(std::move(calls));
  epoll_->async_wait(Descriptor::wait_read, [weak = std::weak_ptr(calls_)](const boost::system::error_code& error) {
    const auto call = weak.lock();
    if (!error && call) call->gone();
  });
  WaitToProbe();
}

void HangUp::WaitToProbe() {
  timer_->expires_after(kProbe);
  timer_->async_wait([this, weak = std::weak_ptr(calls_)](const boost::system::error_code& error) {
    const auto call = weak.lock();  // and so this is there
    if (error || !call) return;
    WaitToProbe();
    call->probe();
  });
}

void HangUp::Stop() {
  calls_.reset();
  if (!epoll_) return;
  epoll_->cancel();
  timer_->cancel();
}

}  // namespace berth::spdy
