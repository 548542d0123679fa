#include "server/streaming/attach_session.h"

#include <sys/socket.h>

#include <cerrno>

#include <boost/asio/post.hpp>

namespace berth::streaming {

namespace asio = boost::asio;
using Descriptor = asio::posix::stream_descriptor;

void AttachSession::OnOpen() {
  const auto attach = [self = shared_from_this(), this] {
    auto attachment = std::make_shared<base::Result<Attachment>>(
        parts_.callbacks.attach(order_, base::Context().WithTimeout(parts_.start_limit)));
    asio::post(parts_.loop, [self, this, attachment] { Attached(std::move(*attachment)); });
  };
  if (base::Status accepted = parts_.work.Submit(attach); !accepted)
    Attached(tl::make_unexpected(std::move(accepted).error()));
}

void AttachSession::Attached(base::Result<Attachment> attachment) {
  if (!channels_) return;
  if (!attachment)
    return channels_->Finish(Outcome::Failure("error attaching to container: " + attachment.error().Text()));
  attached_ = true;
  takes_input_ = attachment->takes_input;
  resize_ = std::move(attachment->resize);
  if (!takes_input_) DropInput();  // what came before this was known
  packets_ = std::make_unique<Descriptor>(parts_.loop, attachment->packets.Release());
  if (size_ && resize_) resize_(size_->columns, size_->rows);
  Receive();
  SendInput();
}

// Packets keep their borders, so they are received one by one. Some at a time, so that others get their turn.
void AttachSession::Receive() {
  if (!packets_ || waits_to_receive_) return;
  char packet[1 + kPacketData];
  for (int i = 0; i < 16 && channels_->queued() < kOutputHighWater; ++i) {
    const ssize_t got = recv(packets_->native_handle(), packet, sizeof packet, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) break;
    if (got <= 0)
      return End(Outcome::Failure("error attaching to container: this client was too slow, or the monitor died"));
    if (!TakePacket({packet, static_cast<size_t>(got)})) return;
  }
  if (channels_->queued() >= kOutputHighWater) return;  // OnDrained goes on
  waits_to_receive_ = true;
  packets_->async_wait(Descriptor::wait_read, [self = shared_from_this(), this](const auto& error) {
    waits_to_receive_ = false;
    if (!error) Receive();
  });
}

bool AttachSession::TakePacket(std::string_view packet) {
  const std::string_view data = packet.substr(1);
  switch (PacketKind{static_cast<uint8_t>(packet[0])}) {
    case PacketKind::kOutput:
      channels_->Send(Channel::kOutput, data);
      return true;
    case PacketKind::kErrors:
      channels_->Send(Channel::kErrors, data);
      return true;
    case PacketKind::kEnded:
      End(Outcome::Exit(0));
      return false;
    case PacketKind::kInput:
      break;
  }
  End(Outcome::Failure("error attaching to container: the monitor sent what this version does not know"));
  return false;
}

void AttachSession::OnData(Channel channel, std::string_view data) {
  if (channel == Channel::kResize) {
    if (const auto size = resizes_.Feed(data)) {
      size_ = size;
      if (resize_) resize_(size->columns, size->rows);
    }
    return;
  }
  if (!takes_input_) return;
  for (; !data.empty(); data.remove_prefix(std::min(data.size(), kPacketData))) {
    std::string packet(1, static_cast<char>(PacketKind::kInput));
    packet += data.substr(0, kPacketData);
    queued_ += packet.size();
    input_.push_back(std::move(packet));
  }
  SendInput();
  if (paused_ || queued_ < kInputHighWater) return;
  paused_ = true;
  channels_->PauseReading();
}

void AttachSession::OnEnd(Channel channel) {
  if (channel != Channel::kInput) return;
  input_ended_ = true;
  SendInput();
}

void AttachSession::SendInput() {
  if (!packets_ || waits_to_send_) return;
  while (!input_.empty()) {
    const std::string& packet = input_.front();
    const ssize_t sent = send(packets_->native_handle(), packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) {
      waits_to_send_ = true;
      packets_->async_wait(Descriptor::wait_write, [self = shared_from_this(), this](const auto& error) {
        waits_to_send_ = false;
        if (!error) SendInput();
      });
      break;
    }
    if (sent < 0) {
      // Nobody reads it any more; the output goes on.
      takes_input_ = false;
      DropInput();
      break;
    }
    queued_ -= packet.size();
    input_.pop_front();
  }
  InputMoved();
  if (input_.empty() && input_ended_ && takes_input_) {
    takes_input_ = false;
    shutdown(packets_->native_handle(), SHUT_WR);
  }
}

void AttachSession::DropInput() {
  input_.clear();
  queued_ = 0;
}

void AttachSession::InputMoved() {
  if (!paused_ || queued_ > kInputLowWater || !channels_) return;
  paused_ = false;
  channels_->ResumeReading();
}

void AttachSession::End(const Outcome& outcome) {
  packets_.reset();
  input_.clear();
  channels_->Finish(outcome);
}

void AttachSession::OnGone() {
  channels_.reset();
  packets_.reset();
  input_.clear();
}

void AttachSession::Abort() {
  if (const auto channels = channels_) channels->Abort();
}

}  // namespace berth::streaming
