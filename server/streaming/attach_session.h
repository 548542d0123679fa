// One attach: from the client's channels to the packets of a container's monitor and back.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "server/streaming/exec_session.h"

namespace berth::streaming {

// On the loop alone. Ends with success when the other side says that it has ended, whatever the container's exit code.
class AttachSession final : public ChannelUser, public Session, public std::enable_shared_from_this<AttachSession> {
 public:
  AttachSession(const SessionParts& parts, AttachOrder order, std::shared_ptr<Channels> channels)
      : parts_(parts), order_(std::move(order)), channels_(std::move(channels)) {}

  void OnOpen() override;
  void OnData(Channel channel, std::string_view data) override;
  void OnEnd(Channel channel) override;
  void OnDrained() override { Receive(); }
  void OnGone() override;
  void Abort() override;

 private:
  void Attached(base::Result<Attachment> attachment);
  void Receive();
  bool TakePacket(std::string_view packet);
  void SendInput();
  void DropInput();
  void InputMoved();
  void End(const Outcome& outcome);

  const SessionParts& parts_;
  const AttachOrder order_;
  std::shared_ptr<Channels> channels_;
  std::function<void(uint16_t, uint16_t)> resize_;
  std::unique_ptr<boost::asio::posix::stream_descriptor> packets_;
  std::deque<std::string> input_;  // packets that were not sent yet
  size_t queued_ = 0;
  bool attached_ = false;
  bool takes_input_ = true;
  bool input_ended_ = false;
  bool waits_to_send_ = false;
  bool waits_to_receive_ = false;
  bool paused_ = false;
  ResizeReader resizes_;
  std::optional<TerminalSize> size_;
};

}  // namespace berth::streaming
