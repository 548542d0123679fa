// StopContainer: the stop signal, the grace, the kill of the whole cgroup.
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <algorithm>

#include "base/time.h"
#include "container/containers.h"
#include "container/live.h"

namespace berth::container {

using base::Code;
using base::Fail;

namespace {
// From SIGKILL to the end: a process in an uninterruptible system call does not die before that returns.
constexpr auto kKillTime = std::chrono::seconds(30);
constexpr auto kLongestGrace = std::chrono::hours(24 * 365);
}  // namespace

base::Status Containers::Kill(const Container& container) {
  base::Status status;
  if (const auto group = kernel::ResolveCgroup(container.cgroups_path)) status = parts_.cgroups->Kill(*group);
  if (const LivePtr live = FindLive(container.id)) RETURN_IF_ERROR(SignalFirst(container, live, SIGKILL));
  return status;
}

// A process that is gone already is success.
base::Status Containers::SignalFirst(const Container& container, const LivePtr& live, int signal) {
  if (live->process) return base::SignalPidfd(live->process.get(), signal);
  if (container.process.pid == 0) return {};
  // Restored: its process came after its Live.
  const auto process = base::OpenProcess(container.process.pid, container.process.start_time);
  return process ? base::SignalPidfd(process->get(), signal) : base::Status();
}

base::Status Containers::WaitExited(const std::string& id, const LivePtr& live, const base::Context& context) {
  ASSIGN_OR_RETURN(const bool exited, context.Wait(live->exited.get(), POLLIN, base::Cat("stop container ", id)));
  (void)exited;  // without a time of its own Wait returns true or an error
  return {};
}

base::Status Containers::Stop(const std::string& id, std::chrono::nanoseconds grace, const base::Context& context) {
  auto container = Find(id);
  if (!container) {
    // "This call is idempotent, and must not return an error if the container has already been stopped." (CRI API)
    if (container.error().code == Code::kNotFound) return {};
    return tl::make_unexpected(std::move(container).error());
  }
  const std::string& whole = (*container)->id;
  const LivePtr live = FindLive(whole);
  if ((*container)->state == State::kExited || !live) return {};
  grace = std::clamp<std::chrono::nanoseconds>(grace, std::chrono::nanoseconds(0), kLongestGrace);
  const base::TimePoint kill_at = base::Monotonic::now() + grace;
  const bool first = live->stopping.With([&](Live::Stopping& stopping) {
    stopping.kill_at = std::min(stopping.kill_at, kill_at);
    return !std::exchange(stopping.running, true);
  });
  if (first) {
    if (base::Status submitted =
            parts_.stops->Submit([this, whole, live, request = context.id()] { RunStop(whole, live, request); });
        !submitted) {
      live->stopping.With([](Live::Stopping& stopping) { stopping = {}; });
      return submitted;
    }
  } else {
    eventfd_write(live->sooner.get(), 1);
  }
  return WaitExited(whole, live, context);
}

void Containers::RunStop(const std::string& id, const LivePtr& live, const std::string& request) {
  auto container = store_.Get(id);
  if (!container) return;
  if (container->restored && container->process.pid == 0) {
    // Held so that no start is under way, which would end after this.
    const std::unique_lock turn(live->updating, base::Monotonic::now() + kKillTime);
    container = store_.Get(id);
    if (turn && container && container->process.pid == 0) {
      SetExited(id, {.code = 128 + SIGKILL, .finished_at = base::UnixNanos(), .reason = "Error"},
                base::Durability::kVolatile);
    }
    if (!container) return;
  }
  state::Stage stage;
  const auto kill_at = [&] { return live->stopping.With([](Live::Stopping& stopping) { return stopping.kill_at; }); };
  // One that was never started has nobody to take a signal.
  if (container->state == State::kRunning && kill_at() > base::Monotonic::now()) {
    stage.Enter("stop signal and grace");
    (void)SignalFirst(*container, live, container->stop_signal);  // gone already: its exit is on its way
    pollfd fds[3] = {{live->exited.get(), POLLIN, 0}, {live->sooner.get(), POLLIN, 0}, {life_.fd(), POLLIN, 0}};
    while (kill_at() > base::Monotonic::now() && fds[0].revents == 0) {
      if (life_.cancelled()) return;
      if (poll(fds, 3, base::PollTimeout(kill_at())) > 0 && fds[1].revents != 0) {
        eventfd_t drained = 0;
        eventfd_read(live->sooner.get(), &drained);
      }
    }
  }
  pollfd exited{live->exited.get(), POLLIN, 0};
  base::Status ended;
  if (poll(&exited, 1, 0) == 0) {
    stage.Enter("kill");
    (void)Kill(*container);
    ended = WaitExited(id, live, life_.WithTimeout(kKillTime));
  }
  stage.Finish();
  parts_.timelines->Add({.operation = "StopContainer",
                         .object = id,
                         .request = request,
                         .code = ended ? "" : std::string(base::CodeName(ended.error().code)),
                         .timeline = stage.Summary()});
  // Not ended even so: the next call tries again.
  live->stopping.With([](Live::Stopping& stopping) { stopping = {}; });
}

void Containers::End() {
  operations_.CancelAll();
  life_.Cancel();
}

base::Status Containers::StopAll(const std::string& sandbox_id, const base::Context& context) {
  const auto all = List();
  const auto ours = [&](const auto& container) {
    return container->sandbox_id == sandbox_id && container->state != State::kExited;
  };
  // All are killed before the first is waited for.
  for (const auto& container : all) {
    if (ours(container)) (void)Kill(*container);
  }
  base::Status first;
  for (const auto& container : all) {
    if (!ours(container)) continue;
    if (base::Status stopped = Stop(container->id, std::chrono::nanoseconds(0), context); !stopped && first)
      first = std::move(stopped);
  }
  return first;
}

}  // namespace berth::container
