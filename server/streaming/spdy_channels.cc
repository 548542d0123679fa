#include "server/streaming/spdy_channels.h"

#include <optional>

namespace berth::streaming {
namespace {

std::optional<Channel> ChannelOf(const std::string* type) {
  if (type == nullptr) return std::nullopt;
  if (*type == "stdin") return Channel::kInput;
  if (*type == "stdout") return Channel::kOutput;
  if (*type == "stderr") return Channel::kErrors;
  if (*type == "error") return Channel::kStatus;
  if (*type == "resize") return Channel::kResize;
  return std::nullopt;
}

}  // namespace

SpdyChannels::SpdyChannels(std::shared_ptr<spdy::Connection> connection, const Streams& wanted, int version)
    : connection_(std::move(connection)), version_(version) {
  const auto want = [&](Channel channel, bool yes) {
    streams_[static_cast<size_t>(channel)].wanted = yes;
    if (yes) ++missing_;
  };
  want(Channel::kStatus, true);
  want(Channel::kInput, wanted.input);
  want(Channel::kOutput, wanted.output);
  want(Channel::kErrors, wanted.errors && !wanted.tty);
  want(Channel::kResize, wanted.tty && version >= 3);
}

void SpdyChannels::Start(std::shared_ptr<ChannelUser> user, std::chrono::nanoseconds creation,
                         boost::asio::io_context& loop) {
  user_ = std::move(user);
  timer_ = std::make_unique<boost::asio::steady_timer>(loop, creation);
  timer_->async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!error && self && self->missing_ > 0) self->connection_->Finish();
  });
  connection_->Start(shared_from_this());
}

void SpdyChannels::OnStream(uint32_t stream, const spdy::Headers& headers, bool fin) {
  // Clients wait for each answer before they open the next one; a stream that is of no use is accepted too, and read.
  connection_->Reply(stream);
  const auto channel = ChannelOf(spdy::Find(headers, "streamtype"));
  if (!channel) return;
  Stream& known = streams_[static_cast<size_t>(*channel)];
  if (!known.wanted || known.id != 0) return;
  known.id = stream;
  if (--missing_ == 0) {
    timer_->cancel();
    user_->OnOpen();
  }
  if (fin) EndInput(stream);
}

SpdyChannels::Stream* SpdyChannels::InputOf(uint32_t stream, Channel& channel) {
  for (const Channel candidate : {Channel::kInput, Channel::kResize}) {
    Stream& known = streams_[static_cast<size_t>(candidate)];
    if (known.id != stream || known.ended) continue;
    channel = candidate;
    return &known;
  }
  return nullptr;
}

void SpdyChannels::OnData(uint32_t stream, std::string_view data) {
  Channel channel{};
  if (InputOf(stream, channel) != nullptr) user_->OnData(channel, data);
}

int SpdyChannels::PipeOf(uint32_t stream) {
  const Stream& input = streams_[static_cast<size_t>(Channel::kInput)];
  return input.id == stream && !input.ended ? user_->InputPipe() : -1;
}

void SpdyChannels::EndInput(uint32_t stream) {
  Channel channel{};
  Stream* const known = InputOf(stream, channel);
  if (known == nullptr) return;
  known->ended = true;
  user_->OnEnd(channel);
}

void SpdyChannels::Finish(const Outcome& outcome) {
  End(Channel::kOutput);
  End(Channel::kErrors);
  connection_->Send(Id(Channel::kStatus), StatusText(outcome, version_));
  connection_->Fin(Id(Channel::kStatus));
  connection_->Finish();
}

void SpdyChannels::OnClosed(const base::Status&) {
  timer_->cancel();
  if (const auto user = std::move(user_)) user->OnGone();
}

}  // namespace berth::streaming
