#include "container/exit_watch.h"

#include <signal.h>
#include <sys/wait.h>

#include <cerrno>
#include <chrono>
#include <utility>

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
  while (waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG) < 0 && errno == EINTR) {
  }
}

struct State {
  asio::io_context& loop;
  base::Executor& asking;
  const ExitWatch::OnExit on_exit;

  void Ask(const std::function<void()>& work) {
    if (!asking.Submit(work)) work();
  }
};

// One container's watch; lives in its own pending handlers. Runs on the loop but for what Ask is given.
struct Watched : std::enable_shared_from_this<Watched> {
  Watched(std::shared_ptr<State> given_state, WatchRequest&& given)
      : state(std::move(given_state)),
        request(std::move(given)),
        monitor(state->loop),
        process(state->loop),
        timer(state->loop) {}

  void Start() {
    boost::system::error_code failed;
    if (const int fd = request.monitor.Release(); fd >= 0) monitor.assign(fd, failed);
    // Without an eye on the monitor nothing would ever tell of the end: that is a monitor lost.
    if (failed || !monitor.is_open()) return MonitorEnded();
    if (const int fd = request.process.Release(); fd >= 0) process.assign(fd, failed);
    monitor.async_wait(stream_descriptor::wait_read,
                       [self = shared_from_this()](const boost::system::error_code& error) {
                         if (!error) self->MonitorEnded();
                       });
    // Ended before anybody looked: only its monitor is waited for, and not for ever.
    if (failed || !process.is_open()) return ProcessEnded();
    process.async_wait(stream_descriptor::wait_read,
                       [self = shared_from_this()](const boost::system::error_code& error) {
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
    asking = true;
    state->Ask([self = shared_from_this()] {
      const Answer answer = self->AskMonitor();
      asio::post(self->state->loop, [self, answer] { self->Answered(answer); });
    });
  }

  enum class Answer { kNone, kDraining, kRecord };
  Answer AskMonitor() const {
    const base::Context context = base::Context().WithTimeout(kAnswerTime);
    auto connection = conmon::MonitorConnection::Connect(request.socket, context);
    if (!connection) return Answer::kNone;
    if (connection->hello().exited == 0) return Answer::kDraining;
    state->on_exit(request.id, conmon::RecordOf(connection->hello()));
    // Unacknowledged it only lives on until its disk takes the record.
    (void)connection->Acknowledge(base::Context().WithTimeout(kAnswerTime));
    return Answer::kRecord;
  }

  void Answered(Answer answer) {
    asking = false;
    told = told || answer == Answer::kRecord;
    if (ended) return MonitorEnded();
    if (answer == Answer::kDraining) return ProcessEnded();
    // Its end is noticed as any monitor's is.
    if (answer == Answer::kNone) (void)base::SignalPidfd(monitor.native_handle(), SIGKILL);
  }

  void MonitorEnded() {
    ended = true;
    if (asking) return;  // Answered comes back to it
    timer.cancel();
    boost::system::error_code ignored;
    process.close(ignored);
    if (monitor.is_open()) Reap(monitor.native_handle());
    monitor.close(ignored);
    if (std::exchange(told, true)) return;
    state->Ask([self = shared_from_this()] {
      auto record = conmon::ReadExitRecord(self->request.exit_file);
      self->state->on_exit(self->request.id, record ? *std::move(record) : std::nullopt);
    });
  }

  std::shared_ptr<State> state;
  WatchRequest request;
  stream_descriptor monitor;
  stream_descriptor process;
  asio::steady_timer timer;
  bool asking = false;
  bool ended = false;
  bool told = false;
};

}  // namespace

struct ExitWatch::Shared : State {};

ExitWatch::ExitWatch(asio::io_context& loop, base::Executor& asking, OnExit on_exit)
    : shared_(std::make_shared<Shared>(State{loop, asking, std::move(on_exit)})) {}
ExitWatch::~ExitWatch() = default;

void ExitWatch::Watch(WatchRequest request) {
  asio::post(shared_->loop, [shared = shared_, request = std::make_shared<WatchRequest>(std::move(request))] {
    std::make_shared<Watched>(shared, std::move(*request))->Start();
  });
}

}  // namespace berth::container
