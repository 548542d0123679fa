// One exec: from the client's channels to the process and back.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <boost/asio/io_context.hpp>

#include "base/executor.h"
#include "server/streaming/channels.h"
#include "server/streaming/fd_pump.h"
#include "server/streaming/orders.h"
#include "server/streaming/resize.h"

namespace berth::streaming {

// What sessions stand on. Outlives them.
struct SessionParts {
  boost::asio::io_context& loop;
  std::span<char> scratch;  // what sources read into, one after the other
  base::Executor& work;
  const Callbacks& callbacks;
  std::chrono::nanoseconds start_limit;  // of a callback
  std::chrono::nanoseconds drain;        // output still read after a process's end while others hold it
};

// Work that a client's connection stands for, to be ended from outside.
class Session {
 public:
  virtual ~Session() = default;
  virtual void Abort() = 0;  // on the loop
};

// On the loop alone. The process is started once all channels are there. When the client leaves, its input ends, its
// output is read and dropped, and it is left to end; a terminal is hung up, as one does whose user leaves.
class ExecSession final : public ChannelUser, public Session, public std::enable_shared_from_this<ExecSession> {
 public:
  ExecSession(const SessionParts& parts, ExecOrder order, std::shared_ptr<Channels> channels)
      : parts_(parts), order_(std::move(order)), channels_(std::move(channels)) {}

  void OnOpen() override;
  void OnData(Channel channel, std::string_view data) override;
  int InputPipe() override { return input_ && !order_.streams.tty ? input_->pipe() : -1; }
  void OnInputPipeFull() override;
  void OnEnd(Channel channel) override;
  void OnDrained() override;
  void OnGone() override;
  void Abort() override;

 private:
  void Started(base::Result<std::unique_ptr<Process>> process);
  void Run();
  std::shared_ptr<FdSource> Read(base::UniqueFd fd, Channel channel);
  void TakeInput(std::string_view data);
  void InputMoved();
  void Resize();
  void Exited();
  void MaybeOver();
  void HangUp();

  const SessionParts& parts_;
  const ExecOrder order_;
  std::shared_ptr<Channels> channels_;  // until the client is gone
  std::unique_ptr<Process> process_;
  std::unique_ptr<boost::asio::posix::stream_descriptor> exited_;
  std::shared_ptr<FdSink> input_;
  std::shared_ptr<FdSource> output_;
  std::shared_ptr<FdSource> errors_;
  int terminal_ = -1;  // the master, for its size; borrowed from the process
  std::string early_;  // input that came before the process was there
  bool aborted_ = false;
  bool input_ended_ = false;
  bool paused_ = false;
  ResizeReader resizes_;
  std::optional<TerminalSize> size_;
  std::optional<Outcome> outcome_;
};

}  // namespace berth::streaming
