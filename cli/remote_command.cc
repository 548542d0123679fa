#include "cli/remote_command.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>

#include "base/file.h"
#include "cli/stream_client.h"
#include "cli/terminal.h"

namespace berth::cli {
namespace {

namespace asio = boost::asio;

constexpr size_t kHighWater = 256 << 10;

// Standard input is read by a thread of its own, piece by piece: a file cannot be waited for, and a terminal must not
// be made non-blocking for all who share it. The thread ends with the program.
class InputThread {
 public:
  // `take` runs on the loop; the next piece is read after More. An empty piece is the end.
  static std::shared_ptr<InputThread> Start(asio::io_context& loop, std::function<void(std::string)> take) {
    auto out = std::make_shared<InputThread>();
    out->take_ = std::move(take);
    std::thread([out, &loop] {
      std::string piece(32 << 10, '\0');
      while (out->Wait()) {
        const ssize_t got = read(STDIN_FILENO, piece.data(), piece.size());
        if (got < 0 && errno == EINTR) continue;
        const std::string data = piece.substr(0, static_cast<size_t>(std::max<ssize_t>(got, 0)));
        const std::lock_guard lock(out->mutex_);
        if (out->stopped_) return;
        asio::post(loop, [take = out->take_, data] { take(data); });
        if (data.empty()) return;
      }
    }).detach();
    return out;
  }
  void More() {
    const std::lock_guard lock(mutex_);
    wanted_ = true;
    changed_.notify_one();
  }
  // The loop may go away afterwards, and what `take` holds with it: the thread, which may end much later, has neither.
  void Stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    take_ = nullptr;
    changed_.notify_one();
  }

 private:
  bool Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return wanted_ || stopped_; });
    wanted_ = false;
    return !stopped_;
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void(std::string)> take_;
  bool wanted_ = true;
  bool stopped_ = false;
};

class Remote : public spdy::ConnectionUser, public std::enable_shared_from_this<Remote> {
 public:
  Remote(asio::io_context& loop, std::shared_ptr<spdy::Connection> connection, const RemoteStreams& streams)
      : loop_(loop), connection_(std::move(connection)), wanted_(streams), resizes_(loop, SIGWINCH) {}

  void Start() {
    connection_->Start(shared_from_this());
    const auto open = [&](const char* type) { return connection_->Open({{"streamtype", type}}); };
    status_ = open("error");
    if (wanted_.input) input_ = open("stdin");
    output_ = open("stdout");
    if (!wanted_.terminal) errors_ = open("stderr");
    if (wanted_.terminal) resize_ = open("resize");
    if (wanted_.terminal) SendSize();
    if (wanted_.input)
      thread_ = InputThread::Start(loop_, [self = shared_from_this()](const std::string& data) { self->Typed(data); });
  }
  void Abort() { connection_->Abort({}); }
  void StopInput() {
    if (thread_) thread_->Stop();
  }

  base::Result<int> Result() const {
    if (detached_) return 0;
    if (!status_text_.empty()) return CodeOfStatus(status_text_);
    return base::Fail(base::Code::kUnavailable, "the connection to the daemon was lost before the end was known");
  }
  bool closed() const { return closed_; }

 private:
  void OnStream(uint32_t stream, const spdy::Headers&, bool) override {
    connection_->Reset(stream, spdy::ResetStatus::kRefusedStream);
  }
  void OnData(uint32_t stream, std::string_view data) override {
    if (stream == status_) status_text_ += data;
    // Whoever reads us may be slow: so are we then.
    if (stream == output_) (void)base::WriteAll(STDOUT_FILENO, data, "standard output");
    if (stream == errors_) (void)base::WriteAll(STDERR_FILENO, data, "standard error");
  }
  void OnFin(uint32_t stream) override {
    if (stream == status_) connection_->Finish();
  }
  void OnReset(uint32_t stream) override { OnFin(stream); }
  void OnDrained() override {
    if (thread_) thread_->More();
  }
  void OnClosed(const base::Status&) override {
    closed_ = true;
    resizes_.cancel();
  }

  void Typed(const std::string& data) {
    if (data.empty()) return connection_->Fin(input_);
    connection_->Send(input_, wanted_.terminal ? keys_.Filter(data) : data);
    if (keys_.pressed()) {
      detached_ = true;
      return connection_->Finish();
    }
    if (connection_->queued() < kHighWater) thread_->More();  // else OnDrained says so
  }
  void SendSize() {
    if (const auto size = TerminalSizeJson(STDOUT_FILENO)) connection_->Send(resize_, *size);
    resizes_.async_wait([self = shared_from_this()](const auto& error, int) {
      if (!error) self->SendSize();
    });
  }

  asio::io_context& loop_;
  std::shared_ptr<spdy::Connection> connection_;
  const RemoteStreams wanted_;
  asio::signal_set resizes_;
  std::shared_ptr<InputThread> thread_;
  DetachKeys keys_;
  uint32_t status_ = 0, input_ = 0, output_ = 0, errors_ = 0, resize_ = 0;
  std::string status_text_;
  bool detached_ = false;
  bool closed_ = false;
};

}  // namespace

base::Result<int> RunRemote(const std::string& url, const RemoteStreams& streams, const base::Context& context) {
  asio::io_context loop(1);
  ASSIGN_OR_RETURN(auto connection, OpenStreams(loop, url, "v4.channel.k8s.io"));
  const auto remote = std::make_shared<Remote>(loop, std::move(connection), streams);
  asio::posix::stream_descriptor cancelled(loop);
  if (context.fd() >= 0) {
    cancelled.assign(dup(context.fd()));
    cancelled.async_wait(asio::posix::stream_descriptor::wait_read, [&](const auto& error) {
      if (!error) remote->Abort();
    });
  }
  {
    ASSIGN_OR_RETURN(const RawTerminal raw,
                     streams.terminal&& streams.input ? RawTerminal::Make(STDIN_FILENO) : RawTerminal::Make(-1));
    remote->Start();
    // The wait for a cancellation does not count as work to be done.
    while (!loop.stopped() && !remote->closed()) loop.run_one();
    remote->StopInput();
  }
  RETURN_IF_ERROR(context.Check("the command"));
  return remote->Result();
}

}  // namespace berth::cli
