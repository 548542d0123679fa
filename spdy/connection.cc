#include "spdy/connection.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

namespace berth::spdy {
namespace {

using base::Code;
using base::Fail;
using boost::system::error_code;

// A peer that sends pings and reads no answers makes the queue grow: beyond this nothing more is read from it.
constexpr size_t kFlood = 4 << 20;
constexpr size_t kSegmentsPerWrite = 16;
constexpr size_t kBytesPerWrite = 256 << 10;
constexpr size_t kFramesAtOnce = 16;

}  // namespace

Connection::Connection(std::unique_ptr<Transport> transport, const Options& options)
    : transport_(std::move(transport)),
      options_(options),
      reader_(*this),
      buffer_(std::make_unique_for_overwrite<std::array<char, kReadSize>>()),
      active_(base::Monotonic::now()),
      timer_(transport_->Executor()),
      rest_(transport_->Executor()) {}

Connection::~Connection() = default;

void Connection::Start(std::shared_ptr<ConnectionUser> user) {
  user_ = std::move(user);
  WatchIdle();
  Read();
}

uint32_t Connection::Open(const Headers& headers, bool fin) {
  assert(options_.role == Role::kClient);
  const uint32_t stream = next_stream_;
  next_stream_ += 2;
  if (phase_ != Phase::kOpen) return stream;
  streams_[stream].sent_fin = fin;
  PushControl(SynStream(stream, fin ? kFlagFin : 0, deflater_.Deflate(headers)));
  return stream;
}

void Connection::Reply(uint32_t stream) {
  if (phase_ == Phase::kOpen && streams_.contains(stream)) PushControl(SynReply(stream, 0, deflater_.Deflate({})));
}

void Connection::Send(uint32_t stream, std::string_view data) {
  const auto found = streams_.find(stream);
  if (phase_ != Phase::kOpen || found == streams_.end() || found->second.sent_fin || data.empty()) return;
  size_t gone = SendNow(stream, data);
  for (; !data.empty(); data.remove_prefix(std::min(data.size(), kMaxData))) {
    const std::string_view piece = data.substr(0, kMaxData);
    const size_t gone_of_it = std::min(gone, kHeadSize + piece.size());
    gone -= gone_of_it;
    if (gone_of_it == kHeadSize + piece.size()) continue;
    char head[kHeadSize];
    DataHead(stream, 0, static_cast<uint32_t>(piece.size()), head);
    std::string frame;
    frame.reserve(kHeadSize + piece.size() - gone_of_it);
    if (gone_of_it < kHeadSize) frame.append(head + gone_of_it, kHeadSize - gone_of_it);
    frame += piece.substr(gone_of_it - std::min(gone_of_it, kHeadSize));
    Push(queue_, std::move(frame));
  }
  Write();
}

// Most of the time the kernel takes all of it: it is neither copied nor queued. How much of the frames is gone.
size_t Connection::SendNow(uint32_t stream, std::string_view data) {
  if (busy_writing_ || !urgent_.empty() || !queue_.empty()) return 0;
  char heads[kFramesAtOnce][kHeadSize];
  std::array<boost::asio::const_buffer, 2 * kFramesAtOnce> buffers;
  size_t frames = 0;
  for (; frames < kFramesAtOnce && !data.empty(); ++frames) {
    const std::string_view piece = data.substr(0, kMaxData);
    data.remove_prefix(piece.size());
    DataHead(stream, 0, static_cast<uint32_t>(piece.size()), heads[frames]);
    buffers[2 * frames] = boost::asio::buffer(heads[frames]);
    buffers[2 * frames + 1] = boost::asio::buffer(piece);
  }
  const size_t gone = transport_->WriteNow({buffers.data(), 2 * frames});
  if (gone > 0) active_ = base::Monotonic::now();
  return gone;
}

void Connection::Fin(uint32_t stream) {
  const auto found = streams_.find(stream);
  if (phase_ != Phase::kOpen || found == streams_.end() || found->second.sent_fin) return;
  found->second.sent_fin = true;
  char head[kHeadSize];
  DataHead(stream, kFlagFin, 0, head);
  PushFrame(std::string(head, sizeof head));
  EraseIfOver(stream);
}

void Connection::Reset(uint32_t stream, ResetStatus status) {
  if (phase_ != Phase::kOpen || streams_.erase(stream) == 0) return;
  PushFrame(RstStream(stream, status));  // behind the stream's data
}

void Connection::SendPing() {
  PushControl(Ping(next_ping_));
  next_ping_ += 2;
}

void Connection::EraseIfOver(uint32_t stream) {
  const auto found = streams_.find(stream);
  if (found != streams_.end() && found->second.sent_fin && found->second.got_fin) streams_.erase(found);
  ClosedByGoAway();
}

void Connection::ClosedByGoAway() {
  if (peer_leaves_ && streams_.empty()) Finish();
}

base::Status Connection::OnControl(const Control& control) {
  active_ = base::Monotonic::now();
  if (phase_ != Phase::kOpen) return {};
  switch (control.type) {
    case FrameType::kSynStream:
      return OnSynStream(control);
    case FrameType::kSynReply:
    case FrameType::kHeaders:
      return OnBlock(control);
    case FrameType::kRstStream:
      if (streams_.erase(control.stream) > 0) user_->OnReset(control.stream);
      ClosedByGoAway();
      return {};
    case FrameType::kPing: {
      const bool theirs = (control.value % 2 == 1) == (options_.role == Role::kServer);
      if (theirs) PushControl(Ping(control.value));
      return {};
    }
    case FrameType::kGoAway:
      peer_leaves_ = true;
      ClosedByGoAway();
      return {};
    case FrameType::kSettings:
    case FrameType::kWindowUpdate:
      return {};
  }
  return {};
}

base::Status Connection::OnSynStream(const Control& control) {
  // Inflated whatever becomes of the stream: the compression goes on from block to block.
  ASSIGN_OR_RETURN(const std::string text, inflater_.Inflate(control.block));
  const auto refuse = [&](ResetStatus status) {
    PushControl(RstStream(control.stream, status));
    return base::Status();
  };
  const bool theirs = (control.stream % 2 == 1) == (options_.role == Role::kServer);
  if (!theirs || control.stream <= last_peer_stream_) return refuse(ResetStatus::kProtocolError);
  last_peer_stream_ = control.stream;
  const auto headers = ParseHeaders(text);
  if (!headers) return refuse(ResetStatus::kProtocolError);
  if (peer_leaves_ || streams_.size() >= options_.max_streams) return refuse(ResetStatus::kRefusedStream);
  Stream& stream = streams_[control.stream];
  stream.got_fin = control.fin();
  stream.sent_fin = (control.flags & kFlagUnidirectional) != 0;
  user_->OnStream(control.stream, *headers, control.fin());
  return {};
}

base::Status Connection::OnBlock(const Control& control) {
  ASSIGN_OR_RETURN(const std::string text, inflater_.Inflate(control.block));
  (void)text;  // further headers have no meaning here
  const auto found = streams_.find(control.stream);
  if (found == streams_.end() || found->second.got_fin) return {};
  if (control.type == FrameType::kSynReply) user_->OnReply(control.stream);
  if (control.fin()) PeerFinished(control.stream);
  return {};
}

base::Status Connection::OnData(uint32_t stream, std::string_view piece, bool fin) {
  active_ = base::Monotonic::now();
  if (phase_ != Phase::kOpen) return {};
  const auto found = streams_.find(stream);
  if (found == streams_.end()) {
    // What was under way when a stream was reset is no mistake; a stream that never was is one.
    const bool theirs = (stream % 2 == 1) == (options_.role == Role::kServer);
    if (stream > (theirs ? last_peer_stream_ : next_stream_))
      PushControl(RstStream(stream, ResetStatus::kInvalidStream));
    return {};
  }
  if (found->second.got_fin) {
    streams_.erase(found);
    PushControl(RstStream(stream, ResetStatus::kStreamAlreadyClosed));
    user_->OnReset(stream);
    return {};
  }
  if (!piece.empty()) user_->OnData(stream, piece);
  if (fin && phase_ == Phase::kOpen) PeerFinished(stream);
  return {};
}

void Connection::PeerFinished(uint32_t stream) {
  const auto found = streams_.find(stream);
  if (found == streams_.end()) return;
  found->second.got_fin = true;
  user_->OnFin(stream);
  EraseIfOver(stream);
}

void Connection::PushControl(std::string frame) {
  if (phase_ != Phase::kOpen) return;
  Push(urgent_, std::move(frame));
  Write();
}

void Connection::PushFrame(std::string frame) {
  Push(queue_, std::move(frame));
  Write();
}

void Connection::Push(std::deque<std::string>& queue, std::string bytes) {
  queued_ += bytes.size();
  above_low_water_ = above_low_water_ || queued_ > options_.low_water;
  queue.push_back(std::move(bytes));
}

void Connection::Write() {
  flooded_ = queued_ > kFlood;
  if (busy_writing_ || phase_ == Phase::kLingering || phase_ == Phase::kClosed) return;
  size_t bytes = 0;
  for (auto* queue : {&urgent_, &queue_}) {
    while (!queue->empty() && writing_.size() < kSegmentsPerWrite && bytes < kBytesPerWrite) {
      bytes += queue->front().size();
      writing_.push_back(std::move(queue->front()));
      queue->pop_front();
    }
  }
  if (writing_.empty()) {
    if (phase_ == Phase::kFinishing) Linger();
    return;
  }
  std::vector<boost::asio::const_buffer> buffers;
  for (const std::string& frame : writing_) buffers.push_back(boost::asio::buffer(frame));
  busy_writing_ = true;
  transport_->AsyncWrite(buffers, [self = shared_from_this(), this, bytes](const error_code& error, size_t) {
    busy_writing_ = false;
    writing_.clear();
    queued_ -= bytes;
    if (phase_ == Phase::kClosed) return;
    if (error) return Close(Fail(Code::kUnavailable, "the connection broke: ", error.message()));
    if (!std::exchange(probing_, false)) active_ = base::Monotonic::now();
    Write();
    if (!flooded_) Read();
    if (above_low_water_ && queued_ <= options_.low_water) {
      above_low_water_ = false;
      if (phase_ == Phase::kOpen) user_->OnDrained();
    }
  });
}

// Who does not read does not see the end of what there is to read.
void Connection::PauseReading() {
  if (std::exchange(paused_, true) || phase_ == Phase::kClosed) return;
  transport_->WatchHangUp({.gone =
                               [weak = weak_from_this(), this] {
                                 const auto self = weak.lock();
                                 if (self && paused_ && phase_ == Phase::kOpen)
                                   Close(Fail(Code::kUnavailable, "the peer left while it was not read from"));
                               },
                           .probe = [this] { Probe(); }});
}

// Settings that set nothing. They do not count as a sign of life.
void Connection::Probe() {
  if (busy_writing_ || phase_ != Phase::kOpen) return;
  probing_ = true;
  PushControl(NoSettings());
}

void Connection::ResumeReading() {
  if (std::exchange(paused_, false) && phase_ != Phase::kClosed) transport_->StopWatchingHangUp();
  Read();
}

void Connection::Read() {
  const bool discards = phase_ != Phase::kOpen;
  if (busy_reading_ || phase_ == Phase::kClosed || ((paused_ || flooded_) && !discards)) return;
  busy_reading_ = true;
  if (ReadsStraight()) return;
  const std::span<char> into(buffer_->data(), ReadLimit());
  transport_->AsyncReadSome(into, [self = shared_from_this(), this](const error_code& error, size_t size) {
    if (error || phase_ == Phase::kClosed) busy_reading_ = false;
    if (phase_ == Phase::kClosed) return;
    if (error) {
      const bool orderly = error == boost::asio::error::eof || phase_ != Phase::kOpen;
      if (orderly && phase_ == Phase::kFinishing) return;  // what is queued may still find a reader
      return Close(orderly ? base::Status() : Fail(Code::kUnavailable, "the connection broke: ", error.message()));
    }
    if (phase_ == Phase::kOpen) {
      if (base::Status fed = reader_.Feed({buffer_->data(), size}); !fed && phase_ == Phase::kOpen) {
        Finish(GoAwayStatus::kProtocolError);
      }
    }
    // Not before: who lets reading go on in one of these calls must not have the buffer filled anew below them.
    busy_reading_ = false;
    Read();
  });
}

void Connection::Finish(GoAwayStatus status) {
  if (phase_ != Phase::kOpen) return;
  while (!streams_.empty()) Reset(streams_.begin()->first);
  PushFrame(GoAway(last_peer_stream_, status));
  phase_ = Phase::kFinishing;
  Write();
  Read();
}

// Closing a socket while the peer still sends would throw away what it has not read yet.
void Connection::Linger() {
  phase_ = Phase::kLingering;
  timer_.expires_after(std::chrono::duration_cast<base::Monotonic::duration>(options_.linger));
  timer_.async_wait([self = shared_from_this(), this](const error_code& error) {
    if (!error) Close({});
  });
  transport_->AsyncShutdownSend([self = shared_from_this()] {});
  Read();
}

void Connection::Abort(base::Status why) {
  Close(std::move(why));
}

void Connection::WatchIdle() {
  timer_.expires_at(active_ + std::chrono::duration_cast<base::Monotonic::duration>(options_.idle));
  timer_.async_wait([weak = weak_from_this(), this](const error_code& error) {
    const auto self = weak.lock();
    if (error || !self || phase_ == Phase::kLingering || phase_ == Phase::kClosed) return;
    if (base::Monotonic::now() - active_ < options_.idle) return WatchIdle();
    // One that takes nothing will not take the rest either.
    if (phase_ == Phase::kFinishing || queued_ > 0)
      return Close(Fail(Code::kDeadlineExceeded, "the connection was idle"));
    Finish();
  });
}

void Connection::Close(base::Status why) {
  if (phase_ == Phase::kClosed) return;
  phase_ = Phase::kClosed;
  timer_.cancel();
  rest_.cancel();
  transport_->Close();
  streams_.clear();
  urgent_.clear();
  queue_.clear();
  queued_ = 0;
  // Its call may drop the last reference to us; whoever called Close holds one.
  if (const auto user = std::move(user_)) user->OnClosed(why);
}

}  // namespace berth::spdy
