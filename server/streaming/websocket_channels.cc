#include "server/streaming/websocket_channels.h"

#include "base/strings.h"

namespace berth::streaming {
namespace {

using boost::system::error_code;

constexpr size_t kLowWater = 128 << 10;
constexpr size_t kMaxData = 32 << 10;
constexpr char kCloseMark = '\xff';

}  // namespace

std::string EncodeMessage(const ChannelProtocol& protocol, uint8_t channel, std::string_view data) {
  std::string out(1, static_cast<char>(protocol.base64 ? '0' + channel : channel));
  if (protocol.base64)
    out += base::Base64Encode(data);
  else
    out += data;
  return out;
}

base::Result<ChannelMessage> DecodeMessage(const ChannelProtocol& protocol, std::string message, bool text) {
  using base::Code;
  using base::Fail;
  ChannelMessage out;
  if (message.empty()) return out;
  if (text != protocol.base64) return Fail(Code::kInvalidArgument, "a message of the wrong kind");
  const char first = message[0];
  if (protocol.version >= 5 && first == kCloseMark) {
    if (message.size() != 2) return Fail(Code::kInvalidArgument, "a close message of ", message.size(), " bytes");
    out.channel = static_cast<uint8_t>(message[1]);
    out.close = true;
  } else if (protocol.base64) {
    if (first < '0' || first > '9') return Fail(Code::kInvalidArgument, "a message without a channel");
    out.channel = static_cast<uint8_t>(first - '0');
    auto data = base::Base64Decode(std::string_view(message).substr(1));
    if (!data) return Fail(Code::kInvalidArgument, "a message that is not base64");
    out.data = *std::move(data);
  } else {
    out.channel = static_cast<uint8_t>(first);
    message.erase(0, 1);
    out.data = std::move(message);
  }
  return out;
}

void MessageQueue::Push(std::string message) {
  if (stopped_ || finishing_) return;
  queued_ += message.size();
  queue_.push_back(std::move(message));
  Pump();
}

void MessageQueue::Finish(std::function<void()> done) {
  if (stopped_ || finishing_) return;
  finishing_ = true;
  done_ = std::move(done);
  Pump();
}

void MessageQueue::Pump() {
  if (busy_ || stopped_) return;
  if (queue_.empty()) {
    if (!finishing_) return;
    busy_ = true;
    socket_->AsyncClose([self = shared_from_this(), this] {
      if (const auto done = std::move(done_)) done();
    });
    return;
  }
  busy_ = true;
  auto message = std::make_shared<std::string>(std::move(queue_.front()));
  queue_.pop_front();
  const size_t size = message->size();
  socket_->AsyncWrite({boost::asio::buffer(*message)}, text_,
                      [self = shared_from_this(), this, message, size](const error_code& error, size_t) {
                        busy_ = false;
                        if (stopped_) return;
                        const bool was_above = queued_ > low_water_;
                        queued_ -= size;
                        const Handlers handlers = handlers_;  // Stop may be called in them
                        if (error) return handlers.on_broken();
                        Pump();
                        if (was_above && queued_ <= low_water_) handlers.on_drained();
                      });
}

void WebSocketChannels::Start(std::shared_ptr<ChannelUser> user) {
  user_ = std::move(user);
  MessageQueue::Handlers handlers;
  handlers.on_drained = [self = shared_from_this(), this] {
    if (user_) user_->OnDrained();
  };
  // A paused reader would not notice.
  handlers.on_broken = [self = shared_from_this(), this] { Gone(); };
  queue_ = std::make_shared<MessageQueue>(socket_, protocol_.base64, kLowWater, std::move(handlers));
  // Clients take the first message as the sign that all is ready.
  const Channel first = wanted_.output ? Channel::kOutput : wanted_.errors ? Channel::kErrors : Channel::kStatus;
  queue_->Push(EncodeMessage(protocol_, static_cast<uint8_t>(first), {}));
  user_->OnOpen();
  Read();
}

void WebSocketChannels::Send(Channel channel, std::string_view data) {
  for (; !data.empty(); data.remove_prefix(std::min(data.size(), kMaxData))) {
    queue_->Push(EncodeMessage(protocol_, static_cast<uint8_t>(channel), data.substr(0, kMaxData)));
  }
}

void WebSocketChannels::PauseReading() {
  if (std::exchange(paused_, true) || !user_) return;
  socket_->WatchHangUp([weak = weak_from_this(), this] {
    const auto self = weak.lock();
    if (self && paused_) Gone();
  });
}

void WebSocketChannels::ResumeReading() {
  if (std::exchange(paused_, false)) socket_->StopWatchingHangUp();
  Read();
}

void WebSocketChannels::Read() {
  if (busy_ || paused_ || finished_ || !user_) return;
  busy_ = true;
  socket_->AsyncRead([self = shared_from_this(), this](const error_code& error, std::string message, bool text) {
    busy_ = false;
    if (finished_ || !user_) return;  // closing reads for itself
    if (error || !TakeMessage(std::move(message), text)) return Gone();
    Read();
  });
}

bool WebSocketChannels::TakeMessage(std::string message, bool text) {
  const auto got = DecodeMessage(protocol_, std::move(message), text);
  if (!got || (got->close && got->channel >= kChannels)) return false;
  const auto channel = Channel{got->channel};
  const bool is_input = (channel == Channel::kInput && wanted_.input) || (channel == Channel::kResize && wanted_.tty);
  if (!is_input || ended_[got->channel]) return true;
  if (got->close) {
    ended_[got->channel] = true;
    user_->OnEnd(channel);
  } else if (!got->data.empty()) {
    user_->OnData(channel, got->data);
  }
  return true;
}

void WebSocketChannels::Finish(const Outcome& outcome) {
  if (finished_) return;
  finished_ = true;
  const std::string status = StatusText(outcome, protocol_.version);
  if (!status.empty()) queue_->Push(EncodeMessage(protocol_, static_cast<uint8_t>(Channel::kStatus), status));
  queue_->Finish([self = shared_from_this(), this] { Gone(); });
}

void WebSocketChannels::Gone() {
  finished_ = true;
  queue_->Stop();
  socket_->Close();
  if (const auto user = std::move(user_)) user->OnGone();
}

}  // namespace berth::streaming
