#include "server/streaming/exec_session.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <boost/asio/post.hpp>

namespace berth::streaming {

namespace asio = boost::asio;

namespace {

base::UniqueFd Duplicate(int fd) {
  return base::UniqueFd(fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

}  // namespace

void ExecSession::OnOpen() {
  const auto start = [self = shared_from_this(), this] {
    auto process = std::make_shared<base::Result<std::unique_ptr<Process>>>(
        parts_.callbacks.exec(order_, base::Context().WithTimeout(parts_.start_limit)));
    asio::post(parts_.loop, [self, this, process] { Started(std::move(*process)); });
  };
  if (base::Status accepted = parts_.work.Submit(start); !accepted)
    Started(tl::make_unexpected(std::move(accepted).error()));
}

void ExecSession::Started(base::Result<std::unique_ptr<Process>> process) {
  if (aborted_) return;
  if (!process) {
    if (channels_)
      channels_->Finish(Outcome::Failure("error executing command in container: " + process.error().Text()));
    return;
  }
  process_ = *std::move(process);
  exited_ = std::make_unique<asio::posix::stream_descriptor>(parts_.loop, Duplicate(process_->exited()).Release());
  exited_->async_wait(asio::posix::stream_descriptor::wait_read, [self = shared_from_this(), this](const auto& error) {
    if (!error) Exited();
  });
  Run();
}

void ExecSession::Run() {
  if (order_.streams.tty) {
    terminal_ = process_->output.get();
    Resize();
  } else {
    output_ = Read(std::move(process_->output), Channel::kOutput);
  }
  if (process_->input) {
    input_ = std::make_shared<FdSink>(parts_.loop, std::move(process_->input), FdSink::AtEnd::kClose,
                                      [self = shared_from_this(), this] { InputMoved(); });
  }
  if (order_.streams.tty) output_ = Read(Duplicate(terminal_), Channel::kOutput);
  errors_ = Read(std::move(process_->errors), Channel::kErrors);
  if (output_) output_->Start();
  if (errors_) errors_->Start();
  if (!channels_) return HangUp();  // the client left meanwhile
  const std::string early = std::move(early_);
  early_.clear();
  TakeInput(early);
  if (input_ended_ && input_ && !order_.streams.tty) input_->End();
  InputMoved();
}

std::shared_ptr<FdSource> ExecSession::Read(base::UniqueFd fd, Channel channel) {
  if (!fd) return nullptr;
  FdSource::Handlers handlers;
  handlers.has_room = [this] { return !channels_ || channels_->queued() < kOutputHighWater; };
  handlers.on_data = [this, channel](std::string_view data) {
    if (channels_) channels_->Send(channel, data);
  };
  handlers.on_end = [self = shared_from_this(), this, channel] {
    if (channels_) channels_->End(channel);
    MaybeOver();
  };
  return std::make_shared<FdSource>(parts_.loop, std::move(fd), parts_.scratch, std::move(handlers));
}

void ExecSession::OnData(Channel channel, std::string_view data) {
  if (channel == Channel::kInput) return TakeInput(data);
  if (const auto size = resizes_.Feed(data)) {
    size_ = size;
    Resize();
  }
}

void ExecSession::TakeInput(std::string_view data) {
  if (process_ && !input_) return;  // nobody wants it
  if (input_)
    input_->Write(data);
  else
    early_ += data;
  if (paused_ || (input_ ? input_->queued() : early_.size()) < kInputHighWater) return;
  paused_ = true;
  channels_->PauseReading();
}

void ExecSession::OnInputPipeFull() {
  paused_ = true;
  channels_->PauseReading();
  input_->WaitForRoom();
}

void ExecSession::InputMoved() {
  if (!paused_ || !channels_ || (input_ && input_->queued() > kInputLowWater)) return;
  paused_ = false;
  channels_->ResumeReading();
}

// A pipe can be closed on one side; a terminal cannot.
void ExecSession::OnEnd(Channel channel) {
  if (channel != Channel::kInput) return;
  input_ended_ = true;
  if (input_ && !order_.streams.tty) input_->End();
}

void ExecSession::Resize() {
  if (terminal_ < 0 || !size_) return;
  winsize size{};
  size.ws_col = size_->columns;
  size.ws_row = size_->rows;
  ioctl(terminal_, TIOCSWINSZ, &size);
}

void ExecSession::OnDrained() {
  if (output_) output_->Continue();
  if (errors_) errors_->Continue();
}

void ExecSession::Exited() {
  const auto code = process_->ExitCode();
  outcome_ =
      code ? Outcome::Exit(*code) : Outcome::Failure("error executing command in container: " + code.error().Text());
  if (input_) input_->Close();
  if (output_) output_->EndWhenEmpty(parts_.drain);
  if (errors_) errors_->EndWhenEmpty(parts_.drain);
  MaybeOver();
}

void ExecSession::MaybeOver() {
  if (!outcome_ || (output_ && !output_->ended()) || (errors_ && !errors_->ended())) return;
  terminal_ = -1;
  process_.reset();
  output_.reset();
  errors_.reset();
  if (channels_) channels_->Finish(*outcome_);
}

void ExecSession::OnGone() {
  channels_.reset();
  early_.clear();
  HangUp();
}

void ExecSession::HangUp() {
  if (!order_.streams.tty) {
    if (input_) input_->End();  // what it had sent still comes
    return OnDrained();         // what the process still writes is read and dropped
  }
  if (input_) input_->Close();
  if (output_) output_->Close();
  terminal_ = -1;
  if (process_) process_->output.Reset();
}

void ExecSession::Abort() {
  aborted_ = true;
  if (input_) input_->Close();
  if (output_) output_->Close();
  if (errors_) errors_->Close();
  exited_.reset();
  if (const auto channels = channels_) channels->Abort();
}

}  // namespace berth::streaming
