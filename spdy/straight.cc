// Big frames for a process go from the socket into its pipe without passing through us.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "spdy/connection.h"

namespace berth::spdy {
namespace {

constexpr uint32_t kWorthIt = 4096;
constexpr int kStepsAtOnce = 64;  // then others have their turn
// The client brings a frame and the process takes a piece: a turn of the loop for each would cost more than moving it.
constexpr auto kRest = std::chrono::microseconds(100);

bool IsFull(int pipe) {
  pollfd room{.fd = pipe, .events = POLLOUT, .revents = 0};
  return poll(&room, 1, 0) == 0;
}

}  // namespace

// When the content of a big frame comes next, or perhaps another behind one: waits for it and moves it.
bool Connection::ReadsStraight() {
  if (phase_ != Phase::kOpen || !straight_) return false;
  const auto move = [self = shared_from_this(), this](const boost::system::error_code& error) {
    straight_ = straight_ && !error;
    if (!error && phase_ == Phase::kOpen) {
      if (base::Status moved = MoveStraight(); !moved && phase_ == Phase::kOpen) Finish(GoAwayStatus::kProtocolError);
    }
    busy_reading_ = false;
    Read();
  };
  if (std::exchange(rests_, false)) {
    rest_.expires_after(kRest);
    rest_.async_wait(move);
    return true;
  }
  const auto frame = reader_.open_frame();
  if (frame.left >= kWorthIt) bulk_ = frame.stream;
  const bool comes = frame.left >= kWorthIt || (bulk_ != 0 && reader_.between_frames());
  if (!comes || !GoesStraight(bulk_)) return false;
  transport_->AsyncWaitRead(move);
  return true;
}

bool Connection::GoesStraight(uint32_t stream) {
  const auto found = streams_.find(stream);
  return found != streams_.end() && !found->second.got_fin && transport_->Descriptor() >= 0 &&
         user_->PipeOf(stream) >= 0;
}

// The rest of a big frame alone where the next one can go straight from its beginning.
size_t Connection::ReadLimit() {
  const auto frame = reader_.open_frame();
  const bool rest = phase_ == Phase::kOpen && straight_ && frame.left > 0 && frame.stream == bulk_;
  return rest && GoesStraight(bulk_) ? std::min<size_t>(frame.left, kReadSize) : kReadSize;
}

base::Status Connection::MoveStraight() {
  const int socket = transport_->Descriptor();
  bool moved_some = false;
  for (int i = 0; i < kStepsAtOnce && phase_ == Phase::kOpen && !paused_ && !flooded_; ++i) {
    if (reader_.between_frames()) {
      char head[kHeadSize];
      const ssize_t got = recv(socket, head, sizeof head, MSG_DONTWAIT);
      const bool dry = got < 0 && errno == EAGAIN;
      rests_ = dry && moved_some;
      if (!dry && got <= 0) bulk_ = 0;  // the connection has ended: the ordinary way tells
      if (got <= 0) return {};
      RETURN_IF_ERROR(reader_.Feed({head, static_cast<size_t>(got)}));
      if (reader_.open_frame().left < kWorthIt) bulk_ = 0;
      continue;
    }
    const auto frame = reader_.open_frame();
    if (frame.left == 0 || frame.stream != bulk_ || !GoesStraight(bulk_)) return {};
    const int pipe = user_->PipeOf(bulk_);
    const ssize_t moved = splice(socket, nullptr, pipe, nullptr, frame.left, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (moved < 0 && errno == EAGAIN) {
      rests_ = moved_some;
      if (!rests_ && IsFull(pipe)) user_->OnPipeFull(frame.stream);
      return {};
    }
    if (moved <= 0) {
      straight_ = false;  // the connection or the process has ended: the ordinary way tells
      return {};
    }
    moved_some = true;
    active_ = base::Monotonic::now();
    RETURN_IF_ERROR(reader_.Skip(static_cast<uint32_t>(moved)));
  }
  return {};
}

}  // namespace berth::spdy
