// Big frames for a process go from the socket into its pipe without passing through us.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "spdy/connection.h"

namespace berth::spdy {
namespace {

constexpr uint32_t kWorthIt = 4096;
constexpr int kFramesAtOnce = 32;  // then others have their turn

}  // namespace

// When the content of a big frame comes next: waits for it and moves it.
bool Connection::ReadsStraight() {
  if (phase_ != Phase::kOpen || !straight_) return false;
  const auto frame = reader_.open_frame();
  if (frame.left < kWorthIt || !streams_.contains(frame.stream) || transport_->Descriptor() < 0) return false;
  if (user_->PipeOf(frame.stream) < 0) return false;
  transport_->AsyncWaitRead([self = shared_from_this(), this](const boost::system::error_code& error) {
    straight_ = straight_ && !error;
    if (!error && phase_ == Phase::kOpen) {
      if (base::Status moved = MoveStraight(); !moved && phase_ == Phase::kOpen) Finish(GoAwayStatus::kProtocolError);
    }
    busy_reading_ = false;
    Read();
  });
  return true;
}

base::Status Connection::MoveStraight() {
  const int socket = transport_->Descriptor();
  for (int i = 0; i < kFramesAtOnce && phase_ == Phase::kOpen && !paused_ && !flooded_; ++i) {
    const auto frame = reader_.open_frame();
    const auto stream = streams_.find(frame.stream);
    if (frame.left < kWorthIt || stream == streams_.end() || stream->second.got_fin) return {};
    const int pipe = user_->PipeOf(frame.stream);
    if (pipe < 0) return {};
    const ssize_t moved = splice(socket, nullptr, pipe, nullptr, frame.left, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (moved < 0 && errno == EAGAIN) {
      int waiting = 0;
      if (ioctl(socket, FIONREAD, &waiting) == 0 && waiting > 0) user_->OnPipeFull(frame.stream);
      return {};
    }
    if (moved <= 0) {
      straight_ = false;  // the connection or the process has ended: the ordinary way tells
      return {};
    }
    active_ = base::Monotonic::now();
    RETURN_IF_ERROR(reader_.Skip(static_cast<uint32_t>(moved)));
    if (reader_.open_frame().left > 0) continue;
    char head[kHeadSize];
    const ssize_t got = recv(socket, head, sizeof head, MSG_DONTWAIT);
    if (got <= 0) return {};
    RETURN_IF_ERROR(reader_.Feed({head, static_cast<size_t>(got)}));
  }
  return {};
}

}  // namespace berth::spdy
