// Port-forward over WebSocket channels: each port of the request has one for data and one for errors, and one TCP
// connection.
#pragma once

#include <memory>
#include <vector>

#include "server/streaming/port_forward.h"
#include "server/streaming/websocket_channels.h"

namespace berth::streaming {

// On the loop alone. Over when all connections are.
class PortForwardChannels final : public Session, public std::enable_shared_from_this<PortForwardChannels> {
 public:
  PortForwardChannels(const SessionParts& parts, ForwardOrder order, std::shared_ptr<WebSocket> socket,
                      const ChannelProtocol& protocol)
      : parts_(parts), order_(std::move(order)), socket_(std::move(socket)), protocol_(protocol) {}
  void Start();
  void Abort() override { Gone(); }

 private:
  void Connect(size_t index);
  void Connected(size_t index, base::Result<base::UniqueFd> socket);
  void Read();
  void Ended(size_t index);
  void Pause();
  void InputMoved();
  void Gone();

  const SessionParts& parts_;
  const ForwardOrder order_;
  std::shared_ptr<WebSocket> socket_;
  const ChannelProtocol protocol_;
  std::shared_ptr<MessageQueue> queue_;
  std::vector<std::shared_ptr<Forwarded>> ports_;  // nullptr: over
  size_t open_ = 0;
  bool busy_ = false;
  bool paused_ = false;
  bool finished_ = false;
};

}  // namespace berth::streaming
