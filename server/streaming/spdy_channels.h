// Exec and attach over SPDY: the client opens one stream for each channel.
#pragma once

#include <array>
#include <chrono>
#include <memory>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "server/streaming/channels.h"
#include "server/streaming/orders.h"
#include "spdy/connection.h"

namespace berth::streaming {

class SpdyChannels final : public Channels,
                           public spdy::ConnectionUser,
                           public std::enable_shared_from_this<SpdyChannels> {
 public:
  // `version` of the channel protocol, 1 to 4.
  SpdyChannels(std::shared_ptr<spdy::Connection> connection, const Streams& wanted, int version);

  // Gives up when the client has not opened all that it asked for after `creation`.
  void Start(std::shared_ptr<ChannelUser> user, std::chrono::nanoseconds creation, boost::asio::io_context& loop);

  void Send(Channel channel, std::string_view data) override { connection_->Send(Id(channel), data); }
  void End(Channel channel) override { connection_->Fin(Id(channel)); }
  size_t queued() const override { return connection_->queued(); }
  void PauseReading() override { connection_->PauseReading(); }
  void ResumeReading() override { connection_->ResumeReading(); }
  void Finish(const Outcome& outcome) override;
  void Abort() override { connection_->Abort({}); }

 private:
  struct Stream {
    bool wanted = false;
    uint32_t id = 0;  // 0: not opened yet
    bool ended = false;
  };
  uint32_t Id(Channel channel) const { return streams_[static_cast<size_t>(channel)].id; }
  Stream* InputOf(uint32_t stream, Channel& channel);
  void EndInput(uint32_t stream);

  void OnStream(uint32_t stream, const spdy::Headers& headers, bool fin) override;
  void OnData(uint32_t stream, std::string_view data) override;
  int PipeOf(uint32_t stream) override;
  void OnPipeFull(uint32_t) override { user_->OnInputPipeFull(); }
  void OnFin(uint32_t stream) override { EndInput(stream); }
  void OnReset(uint32_t stream) override { EndInput(stream); }
  void OnDrained() override { user_->OnDrained(); }
  void OnClosed(const base::Status& why) override;

  std::shared_ptr<spdy::Connection> connection_;
  std::shared_ptr<ChannelUser> user_;
  std::unique_ptr<boost::asio::steady_timer> timer_;
  const int version_;
  std::array<Stream, kChannels> streams_;
  size_t missing_ = 0;
};

}  // namespace berth::streaming
