#include "container/exit_watch.h"

#include <signal.h>
#include <sys/wait.h>

#include <cerrno>
#include <chrono>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/child.h"
#include "conmon/client.h"

namespace berth::container {
namespace {

namespace asio = boost::asio;
using asio::posix::stream_descriptor;

// From the process's end to the monitor's: it drains the output and writes the record meanwhile.
constexpr auto kPatience = std::chrono::seconds(5);
// A monitor whose disk refuses the record answers at once; one that is stopped never does.
constexpr auto kAnswerTime = std::chrono::milliseconds(500);

// Reaps it if it is our child; after a restart of the daemon it is not, and somebody else does.
void Reap(int pidfd) {
  siginfo_t info{};
  while (waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG) < 0 && errno == EINTR) {}
}

std::optional<conmon::ExitRecord> AskMonitor(const base::Path& socket) {
  const base::Context context = base::Context().WithTimeout(kAnswerTime);
  auto connection = conmon::MonitorConnection::Connect(socket, context);
  if (!connection || connection->hello().exited == 0) return std::nullopt;
  const conmon::ExitRecord record = conmon::RecordOf(connection->hello());
  (void)connection->Acknowledge(context);  // unacknowledged it only lives on until its disk takes the record
  return record;
}

}  // namespace

struct ExitWatch::State {
  State(asio::io_context& given_loop, OnExit given) : loop(given_loop), on_exit(std::move(given)) {}
  asio::io_context& loop;
  const OnExit on_exit;
};

namespace {

// One container's watch; lives in its own pending handlers.
struct Watched : std::enable_shared_from_this<Watched> {
  Watched(asio::io_context& loop, WatchRequest&& given, ExitWatch::OnExit given_on_exit)
      : request(std::move(given)),
        on_exit(std::move(given_on_exit)),
        monitor(loop),
        process(loop),
        timer(loop) {}

  void Start() {
    boost::system::error_code failed;
    if (const int fd = request.monitor.Release(); fd >= 0) monitor.assign(fd, failed);
    // Without an eye on the monitor nothing would ever tell of the end: that is a monitor lost.
    if (failed || !monitor.is_open()) return Finish(std::nullopt, /*monitor_ended=*/true);
    if (const int fd = request.process.Release(); fd >= 0) process.assign(fd, failed);
    monitor.async_wait(stream_descriptor::wait_read, [self = shared_from_this()](const boost::system::error_code& error) {
      if (!error) self->MonitorEnded();
    });
    // Ended before anybody looked: only its monitor is waited for, and not for ever.
    if (failed || !process.is_open()) return ProcessEnded();
    process.async_wait(stream_descriptor::wait_read, [self = shared_from_this()](const boost::system::error_code& error) {
      if (!error) self->ProcessEnded();
    });
  }

  void ProcessEnded() {
    timer.expires_after(kPatience);
    timer.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (!error) self->MonitorOverdue();
    });
  }

  void MonitorOverdue() {
    if (auto record = AskMonitor(request.socket)) return Finish(std::move(record), /*monitor_ended=*/false);
    // Its end is noticed as any monitor's is.
    (void)base::SignalPidfd(monitor.native_handle(), SIGKILL);
  }

  void MonitorEnded() {
    Reap(monitor.native_handle());
    auto record = conmon::ReadExitRecord(request.exit_file);
    Finish(record ? *std::move(record) : std::nullopt, /*monitor_ended=*/true);
  }

  void Finish(std::optional<conmon::ExitRecord> record, bool monitor_ended) {
    timer.cancel();
    boost::system::error_code ignored;
    process.close(ignored);
    if (monitor_ended) monitor.close(ignored);
    if (!told) on_exit(request.id, std::move(record));
    told = true;
  }

  WatchRequest request;
  ExitWatch::OnExit on_exit;
  stream_descriptor monitor;
  stream_descriptor process;
  asio::steady_timer timer;
  bool told = false;
};

}  // namespace

ExitWatch::ExitWatch(asio::io_context& loop, OnExit on_exit) : state_(std::make_shared<State>(loop, std::move(on_exit))) {}
ExitWatch::~ExitWatch() = default;

void ExitWatch::Watch(WatchRequest request) {
  asio::post(state_->loop, [state = state_, request = std::make_shared<WatchRequest>(std::move(request))] {
    std::make_shared<Watched>(state->loop, std::move(*request), state->on_exit)->Start();
  });
}

}  // namespace berth::container
