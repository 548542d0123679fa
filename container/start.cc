// StartContainer, and what happens when a container ends.
#include <sys/eventfd.h>

#include "base/strings.h"
#include "base/time.h"
#include "container/containers.h"
#include "container/live.h"
#include "cri-proto/api.pb.h"

namespace berth::container {

using base::Code;
using base::Fail;

namespace {
constexpr auto kStateTime = std::chrono::seconds(5);
}  // namespace

base::Status Containers::Start(const std::string& id, const base::Context& context) {
  ASSIGN_OR_RETURN(const auto container, Find(id));
  auto result = operations_.Run(
      {.key = "start/" + container->id,
       .what = "StartContainer " + container->id,
       .timeout = parts_.create_timeout,
       .submit = [this](std::function<void()> work) { return Submit(std::move(work)); },
       .body = [this, whole = container->id](const base::Context& own,
                                             state::Stage& stage) { return StartBody(whole, own, stage); },
       .finished = parts_.timelines->Keeper("StartContainer", container->id, context.id())},
      context);
  if (!result) return tl::make_unexpected(std::move(result).error());
  return {};
}

base::Result<std::string> Containers::StartBody(const std::string& id, const base::Context& context,
                                                state::Stage& stage) {
  ASSIGN_OR_RETURN(const auto container, Find(id));
  if (container->state != State::kCreated) {
    return Fail(Code::kFailedPrecondition, "container ", id, " is ", StateName(container->state), ", not created");
  }
  ASSIGN_OR_RETURN(const auto runtime, RuntimeOf(container->runtime));
  stage.Enter("runtime start");
  const LivePtr live = FindLive(id);
  if (live) live->starting = base::UnixNanos();
  // A daemon that is killed now leaves the time to the next one. Without a byte free it is only that which is lost.
  if (live) (void)base::WriteFile(StartingFile(id), std::to_string(live->starting));
  base::Status started =
      container->restored ? StartRestored(id, *runtime, context, stage) : runtime->Start(id, context);
  if (!started && !container->restored) {
    // A daemon that was killed between the runtime's start and the record's leaves a container that runs already.
    const auto now = runtime->GetState(id, life_.WithTimeout(kStateTime));
    if (now && now->phase == oci::Phase::kRunning) started = {};
  }
  if (!started) {
    const auto being_stopped = [](const Live::Stopping& stopping) { return stopping.running; };
    if (live && live->stopping.With(being_stopped)) {
      started.error().code = Code::kFailedPrecondition;
      started.error().message = base::Cat("container ", id, " is being stopped: ", started.error().message);
    }
    if (live) live->starting = 0;
    (void)base::RemoveFile(StartingFile(id));
    SetExited(
        id, {.code = 128, .finished_at = base::UnixNanos(), .reason = "StartError", .message = started.error().message},
        base::Durability::kVolatile);
    if (base::Status killed = Kill(*container); !killed) started.error().clean_up = killed.error().message;
    return tl::make_unexpected(std::move(started).error());
  }
  stage.Enter("record");
  // Not now: what ends at once has ended before the runtime returned.
  const int64_t started_at = live ? live->starting.load() : base::UnixNanos();
  const auto run = [&](const Container& old) -> base::Result<Container> {
    Container changed = old;
    if (changed.started_at == 0) changed.started_at = started_at;
    // A short-lived process may have ended, and its exit been noted, before the runtime returned.
    if (changed.state == State::kCreated) changed.state = State::kRunning;
    return changed;
  };
  if (auto updated = store_.Update(id, run, state::Persist::kBestEffort); !updated)
    return tl::make_unexpected(updated.error());
  return id;
}

void Containers::SetExited(const std::string& id, Exit exit, base::Durability durability) {
  bool first = false;
  const LivePtr live = FindLive(id);
  const auto end = [&](const Container& old) -> base::Result<Container> {
    // The first to say how it ended is right: what comes later is a consequence.
    first = old.state != State::kExited;
    if (!first) return old;
    ASSIGN_OR_RETURN(Container changed, WithState(old, State::kExited));
    if (changed.started_at == 0 && live) changed.started_at = live->starting;
    changed.exit = exit;
    return changed;
  };
  // Removed meanwhile is fine; a full disk is retried by the store.
  (void)store_.Update(id, end, state::Persist::kBestEffort, durability);
  if (first)
    parts_.timelines->Add({.operation = "Exit",
                           .object = id,
                           .request = {},
                           .code = exit.reason,
                           .timeline = {.started_at = exit.finished_at}});
  if (live) eventfd_write(live->exited.get(), 1);
}

namespace {

Exit FromRecord(const conmon::ExitRecord& record) {
  Exit exit{.code = record.code, .finished_at = record.finished_at};
  if (record.oom_kills > 0)
    exit.reason = "OOMKilled";
  else
    exit.reason = record.code == 0 ? "Completed" : "Error";
  return exit;
}

}  // namespace

void Containers::OnExit(const std::string& id, std::optional<conmon::ExitRecord> record) {
  const auto container = store_.Get(id);
  if (!container) return;
  Exit exit;
  if (record) {
    exit = FromRecord(*record);
  } else {
    exit = {.code = 255,
            .finished_at = base::UnixNanos(),
            .reason = "MonitorLost",
            .message = "the container's monitor was lost, and with it the exit code; the container was killed"};
    (void)Kill(*container);
  }
  // Without a pid namespace of its own what the first process started lives on, and nobody would stop it.
  if (record && !container->own_pid_namespace) (void)Kill(*container);
  SetExited(id, std::move(exit), base::Durability::kVolatile);
}

}  // namespace berth::container
