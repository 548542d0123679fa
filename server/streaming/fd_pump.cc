#include "server/streaming/fd_pump.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include <boost/asio/write.hpp>

namespace berth::streaming {
namespace {

using boost::system::error_code;

constexpr size_t kJoin = 64 << 10;  // small pieces are put together up to this

// A process and we work longer before either must wait for the other. Where it is no pipe, or the user's share of them
// is used up, it stays as it is.
void Widen(int fd) {
  constexpr int kPipe = 1 << 20;
  (void)fcntl(fd, F_SETPIPE_SZ, kPipe);
}

}  // namespace

FdSource::FdSource(boost::asio::io_context& loop, base::UniqueFd fd, std::span<char> scratch, Handlers handlers)
    : fd_(loop, fd.Release()), scratch_(scratch), handlers_(std::move(handlers)), timer_(loop) {
  fd_.native_non_blocking(true);
  Widen(fd_.native_handle());
}

void FdSource::Continue() {
  if (busy_ || ended_ || !handlers_.has_room()) return;
  if (left_ && *left_ == 0) return Ended();
  busy_ = true;
  fd_.async_wait(boost::asio::posix::descriptor_base::wait_read,
                 [self = shared_from_this(), this](const error_code& error) {
                   busy_ = false;
                   if (ended_) return;
                   // Cancelled because nothing had come by the end of the drain.
                   if (error) return Ended();
                   Read();
                 });
}

void FdSource::Read() {
  if (!handlers_.has_room()) return;
  const size_t size = std::min(scratch_.size(), left_.value_or(SIZE_MAX));
  const ssize_t got = read(fd_.native_handle(), scratch_.data(), size);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Continue();
  // A terminal whose last user is gone says EIO.
  if (got <= 0) return Ended();
  if (left_) *left_ -= static_cast<size_t>(got);
  handlers_.on_data(std::string_view(scratch_.data(), static_cast<size_t>(got)));
  Continue();
}

void FdSource::EndWhenEmpty(std::chrono::nanoseconds drain) {
  if (ended_) return;
  timer_.expires_after(drain);
  timer_.async_wait([self = shared_from_this(), this](const error_code& error) {
    if (!error && !ended_) Bound();
  });
}

void FdSource::Bound() {
  int size = 0;
  if (ioctl(fd_.native_handle(), FIONREAD, &size) != 0 || size < 0) size = 0;
  left_ = static_cast<size_t>(size);
  if (*left_ > 0) return Continue();
  if (busy_) {
    error_code ignored;
    fd_.cancel(ignored);
  } else {
    Ended();
  }
}

void FdSource::Ended() {
  if (ended_) return;
  ended_ = true;
  timer_.cancel();
  error_code ignored;
  fd_.close(ignored);
  // Its holder may drop us, and it, in this call.
  const Handlers handlers = std::move(handlers_);
  handlers.on_end();
}

void FdSource::Close() {
  if (ended_) return;
  ended_ = true;
  timer_.cancel();
  error_code ignored;
  fd_.close(ignored);
  handlers_ = {};
}

FdSink::FdSink(boost::asio::io_context& loop, base::UniqueFd fd, AtEnd at_end, std::function<void()> on_written)
    : fd_(loop, fd.Release()), at_end_(at_end), on_written_(std::move(on_written)) {
  Widen(fd_.native_handle());
}

void FdSink::Write(std::string_view data) {
  if (over_ || ending_ || data.empty()) return;
  if (queue_.empty()) {
    // Most of the time it goes at once. What fails here fails again below, where it can be told.
    const ssize_t sent = ::write(fd_.native_handle(), data.data(), data.size());
    if (sent > 0) data.remove_prefix(static_cast<size_t>(sent));
    if (data.empty()) return;
  }
  queued_ += data.size();
  // The first is being written.
  if (queue_.size() > 1 && queue_.back().size() + data.size() <= kJoin)
    queue_.back() += data;
  else
    queue_.emplace_back(data);
  Pump();
}

void FdSink::End() {
  if (over_ || ending_) return;
  ending_ = true;
  if (queue_.empty()) Finish();
}

void FdSink::Pump() {
  if (busy_ || over_ || queue_.empty()) return;
  busy_ = true;
  fd_.async_write_some(boost::asio::buffer(queue_.front()),
                       [self = shared_from_this(), this](const error_code& error, size_t size) {
                         busy_ = false;
                         if (over_) return;
                         if (error) return Broken();
                         queued_ -= size;
                         if (size == queue_.front().size())
                           queue_.pop_front();
                         else
                           queue_.front().erase(0, size);
                         const auto on_written = on_written_;
                         if (queue_.empty() && ending_) Finish();
                         if (on_written) on_written();
                         Pump();
                       });
}

int FdSink::pipe() {
  return over_ || ending_ || !queue_.empty() ? -1 : fd_.native_handle();
}

void FdSink::WaitForRoom() {
  fd_.async_wait(boost::asio::posix::descriptor_base::wait_write, [self = shared_from_this(), this](const error_code&) {
    if (const auto on_written = on_written_) on_written();
  });
}

void FdSink::Broken() {
  const auto on_written = on_written_;
  Close();
  if (on_written) on_written();
}

void FdSink::Finish() {
  over_ = true;
  on_written_ = nullptr;
  error_code ignored;
  if (at_end_ == AtEnd::kShutdown) shutdown(fd_.native_handle(), SHUT_WR);
  fd_.close(ignored);
}

void FdSink::Close() {
  over_ = true;
  queue_.clear();
  queued_ = 0;
  on_written_ = nullptr;
  error_code ignored;
  fd_.close(ignored);
}

}  // namespace berth::streaming
