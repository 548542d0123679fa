#include "server/streaming/port_forward_channels.h"

#include <algorithm>

#include <boost/asio/post.hpp>

namespace berth::streaming {

namespace asio = boost::asio;

void PortForwardChannels::Start() {
  const auto self = shared_from_this();
  MessageQueue::Handlers handlers;
  handlers.on_drained = [self, this] {
    for (const auto& port : std::vector(ports_)) {
      if (port) port->Continue();
    }
  };
  handlers.on_broken = [self, this] { Gone(); };
  queue_ = std::make_shared<MessageQueue>(socket_, protocol_.base64, kOutputHighWater / 2, std::move(handlers));
  ports_.resize(order_.ports.size());
  open_ = ports_.size();
  for (size_t i = 0; i < ports_.size(); ++i) {
    const uint16_t port = order_.ports[i];
    const std::string number = {static_cast<char>(port & 0xff), static_cast<char>(port >> 8)};
    queue_->Push(EncodeMessage(protocol_, static_cast<uint8_t>(2 * i), number));
    queue_->Push(EncodeMessage(protocol_, static_cast<uint8_t>(2 * i + 1), number));
  }
  for (size_t i = 0; i < ports_.size(); ++i) Connect(i);
  Read();
}

void PortForwardChannels::Connect(size_t index) {
  const auto self = shared_from_this();
  Forwarded::Handlers handlers;
  handlers.has_room = [this] { return queue_->queued() < kOutputHighWater; };
  handlers.on_data = [this, index](std::string_view data) {
    queue_->Push(EncodeMessage(protocol_, static_cast<uint8_t>(2 * index), data));
  };
  // There is no mark for the end of one channel: the connection's two directions end together.
  handlers.on_end = [self, this, index] { Ended(index); };
  handlers.on_written = [this] { InputMoved(); };
  ports_[index] = std::make_shared<Forwarded>(std::move(handlers));
  const auto connect = [self, this, index] {
    auto socket = std::make_shared<base::Result<base::UniqueFd>>(
        parts_.callbacks.connect(order_.pod, order_.ports[index], base::Context().WithTimeout(parts_.start_limit)));
    asio::post(parts_.loop, [self, this, index, socket] { Connected(index, std::move(*socket)); });
  };
  if (base::Status accepted = parts_.work.Submit(connect); !accepted) {
    Connected(index, tl::make_unexpected(std::move(accepted).error()));
  }
}

void PortForwardChannels::Connected(size_t index, base::Result<base::UniqueFd> socket) {
  if (finished_ || !ports_[index]) return;
  if (socket) {
    ports_[index]->Connected(parts_, *std::move(socket));
    return InputMoved();
  }
  const std::string text = ForwardError(order_.ports[index], order_.pod, socket.error().Text());
  queue_->Push(EncodeMessage(protocol_, static_cast<uint8_t>(2 * index + 1), text));
  Ended(index);
}

void PortForwardChannels::Ended(size_t index) {
  const auto port = std::move(ports_[index]);
  if (!port) return;
  port->Close();
  InputMoved();
  if (--open_ > 0 || finished_) return;
  finished_ = true;
  queue_->Finish([self = shared_from_this(), this] { Gone(); });
}

void PortForwardChannels::Read() {
  if (busy_ || paused_ || finished_) return;
  busy_ = true;
  socket_->AsyncRead([self = shared_from_this(), this](const auto& error, std::string message, bool text) {
    busy_ = false;
    if (finished_) return;
    const auto got = error ? base::Fail(base::Code::kUnavailable, error.message())
                           : DecodeMessage(protocol_, std::move(message), text);
    if (!got) return Gone();
    const size_t index = got->channel / 2;
    if (got->channel % 2 == 0 && index < ports_.size() && ports_[index]) {
      ports_[index]->Write(got->data);
      if (!paused_ && ports_[index]->queued() >= kInputHighWater) Pause();
    }
    Read();
  });
}

void PortForwardChannels::Pause() {
  paused_ = true;
  socket_->WatchHangUp([weak = weak_from_this(), this] {
    const auto self = weak.lock();
    if (self && paused_) Gone();
  });
}

void PortForwardChannels::InputMoved() {
  const auto full = [](const auto& port) { return port && port->queued() > kInputLowWater; };
  if (!paused_ || std::ranges::any_of(ports_, full)) return;
  paused_ = false;
  socket_->StopWatchingHangUp();
  Read();
}

void PortForwardChannels::Gone() {
  finished_ = true;
  for (const auto& port : ports_) {
    if (port) port->Close();
  }
  ports_.assign(ports_.size(), nullptr);
  queue_->Stop();
  socket_->Close();
}

}  // namespace berth::streaming
