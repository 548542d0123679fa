// Exec and attach over WebSocket: each message names its channel.
#pragma once

#include <array>
#include <deque>
#include <memory>

#include "server/streaming/channels.h"
#include "server/streaming/orders.h"
#include "server/streaming/websocket.h"

namespace berth::streaming {

// What a subprotocol's name stands for.
struct ChannelProtocol {
  int version = 1;
  bool base64 = false;  // text messages: a digit, then base64
};

// One message as it goes over the wire. The channel's number is below ten.
std::string EncodeMessage(const ChannelProtocol& protocol, uint8_t channel, std::string_view data);

struct ChannelMessage {
  uint8_t channel = 0;
  bool close = false;  // version 5: the channel's end
  std::string data;
};
// kInvalidArgument for what ends the connection.
base::Result<ChannelMessage> DecodeMessage(const ChannelProtocol& protocol, std::string message, bool text);

// Messages that wait for their turn on a WebSocket. On the loop alone.
class MessageQueue : public std::enable_shared_from_this<MessageQueue> {
 public:
  struct Handlers {
    std::function<void()> on_drained;
    std::function<void()> on_broken;  // nothing can be sent any more
  };
  MessageQueue(std::shared_ptr<WebSocket> socket, bool text, size_t low_water, Handlers handlers)
      : socket_(std::move(socket)), text_(text), low_water_(low_water), handlers_(std::move(handlers)) {}
  void Push(std::string message);
  // Closes the WebSocket once all is sent; then `done`.
  void Finish(std::function<void()> done);
  void Stop() {
    handlers_ = {};
    done_ = nullptr;
    queue_.clear();
    stopped_ = true;
  }
  size_t queued() const { return queued_; }

 private:
  void Pump();

  std::shared_ptr<WebSocket> socket_;
  const bool text_;
  const size_t low_water_;
  Handlers handlers_;
  std::function<void()> done_;
  std::deque<std::string> queue_;
  size_t queued_ = 0;
  bool busy_ = false;
  bool finishing_ = false;
  bool stopped_ = false;
};

class WebSocketChannels final : public Channels, public std::enable_shared_from_this<WebSocketChannels> {
 public:
  WebSocketChannels(std::shared_ptr<WebSocket> socket, const Streams& wanted, const ChannelProtocol& protocol)
      : socket_(std::move(socket)), wanted_(wanted), protocol_(protocol) {}
  void Start(std::shared_ptr<ChannelUser> user);

  void Send(Channel channel, std::string_view data) override;
  void End(Channel) override {}  // there is no mark for it towards the client
  size_t queued() const override { return queue_->queued(); }
  void PauseReading() override;
  void ResumeReading() override;
  void Finish(const Outcome& outcome) override;
  void Abort() override { Gone(); }

 private:
  void Read();
  bool TakeMessage(std::string message, bool text);
  void Gone();

  std::shared_ptr<WebSocket> socket_;
  const Streams wanted_;
  const ChannelProtocol protocol_;
  std::shared_ptr<ChannelUser> user_;
  std::shared_ptr<MessageQueue> queue_;
  std::array<bool, kChannels> ended_{};
  bool busy_ = false;
  bool paused_ = false;
  bool finished_ = false;
};

}  // namespace berth::streaming
