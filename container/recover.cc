// What a former daemon left: containers that run on, that ended meanwhile, that a crash cut short, that a reboot ended.
#include <stdio.h>
#include <sys/eventfd.h>

#include <set>

#include "base/strings.h"
#include "base/time.h"
#include "conmon/client.h"
#include "container/containers.h"
#include "container/live.h"

namespace berth::container {

using Report = std::function<void(const std::string&)>;

base::Status Containers::Recover(const Report& report) {
  RETURN_IF_ERROR(base::MakeDirs(parts_.run_folder, 0711));
  RETURN_IF_ERROR(base::MakeDirs(parts_.trash_folder, 0700));
  ASSIGN_OR_RETURN(const state::LoadReport loaded, store_.Load());
  for (const state::BadRecord& bad : loaded.bad) {
    report(base::Cat("container ", bad.id, ": record set aside at ", bad.path.native(), ": ", bad.error.message));
  }
  for (const std::string& id : loaded.recovered)
    report(base::Cat("container ", id, ": the newest record was torn, the one before is used"));
  for (const auto& [id, container] : store_.Snapshot()) {
    if (base::Status recovered = RecoverOne(id, container, report); !recovered) {
      report(base::Cat("container ", id, ": ", recovered.error().Text()));
    }
  }

  // Ledgers without a record: creations and removals that were cut short, and records that were set aside.
  const auto known = [&](const std::string& id) { return store_.Get(id) != nullptr; };
  ASSIGN_OR_RETURN(const auto orphans, state::OrphanedLedgers(parts_.run_folder, parts_.state_folder, known));
  for (const std::string& id : orphans) {
    auto ledger =
        state::Ledger::Load({.run = RunFolder(id) / "ledger", .state = StateFolder(id) / "ledger"}, parts_.same_boot);
    if (!ledger) {
      report(base::Cat("container ", id, ": ", ledger.error().Text()));
      continue;
    }
    report(base::Cat("container ", id, ": left without a record, ", (*ledger)->entries().size(),
                     " effects are being undone"));
    UndoBehind(id, *std::move(ledger), "left by a daemon that was cut short");
  }
  if (const auto folders = base::ListFolder(parts_.state_folder)) {
    std::set<std::string> undoing;
    for (const auto& leftover : parts_.leftovers->List()) undoing.insert(leftover.id);
    // A record that was set aside stays with its folder, for people to look at.
    for (const std::string& id : *folders) {
      if (!known(id) && !undoing.contains(id) && !base::Exists(StateFolder(id) / "record.json.bad")) Discard(id);
    }
  }
  if (const auto trash = base::ListFolder(parts_.trash_folder)) {
    for (const std::string& name : *trash) {
      const base::Path path = parts_.trash_folder / name;
      if (base::Status submitted = parts_.removal->Submit([path] { (void)base::RemoveTree(path); }); !submitted) break;
    }
  }
  return {};
}

// The start waits for nobody's runtime.
void Containers::UndoBehind(const std::string& id, std::shared_ptr<state::Ledger> ledger, std::string why) {
  parts_.leftovers->Add(id, std::move(ledger), std::move(why), [this, id] { Discard(id); });
}

base::Status Containers::RecoverOne(const std::string& id, const Container& container, const Report& report) {
  // What a checkpoint that was cut short left may be large: it goes with the trash.
  (void)rename(CheckpointFolder(id).c_str(), (parts_.trash_folder / (id + ".checkpoint")).c_str());
  std::vector<image::Digest> layers;
  for (const std::string& chain_id : container.chain_ids) {
    if (auto digest = image::Digest::Parse(chain_id)) layers.push_back(*std::move(digest));
  }
  parts_.images->RefLayers(id, layers);
  if (!container.copied_owners.empty()) parts_.images->shifted().Ref(id, layers, container.copied_owners);

  auto live = std::make_shared<Live>();
  const bool same_boot = parts_.same_boot && container.boot_id == parts_.boot_id;
  ASSIGN_OR_RETURN(
      live->ledger,
      state::Ledger::Load({.run = RunFolder(id) / "ledger", .state = StateFolder(id) / "ledger"}, same_boot));
  live->exited.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  live->sooner.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!live->exited || !live->sooner) return base::FailErrno(errno, "eventfd");

  if (const size_t damaged = live->ledger->damaged(); damaged > 0) {
    report(base::Cat("container ", id, ": ", damaged,
                     " unreadable lines or files of its ledger; what they told cannot be undone"));
  }
  // A creation that never succeeded: nobody was told of it.
  if (same_boot && !live->ledger->owned() && !live->ledger->empty()) {
    RETURN_IF_ERROR(store_.Erase(id));
    UndoBehind(id, live->ledger, "its creation was cut short");
    report(base::Cat("container ", id, ": its creation was cut short and is being undone"));
    return {};
  }
  live_.With([&](auto& all) { all[id] = live; });
  if (container.state == State::kExited) {
    eventfd_write(live->exited.get(), 1);
    return {};
  }

  if (same_boot) live->starting = ReadStarting(id);
  auto record = conmon::ReadExitRecord(ExitFile(id));
  if (record && *record) {
    OnExit(id, **record);
    return {};
  }
  if (!same_boot) {
    SetExited(id,
              {.code = 255,
               .finished_at = base::UnixNanos(),
               .reason = "Unknown",
               .message = "the node was restarted while the container existed"},
              base::Durability::kVolatile);
    return {};
  }
  if (container.restored && container.monitor.pid == 0) {
    // Not started yet, or its start was cut short, and then nobody knows how far it came.
    if (!base::Exists(MonitorSocket(id))) return {};
    SetExited(id,
              {.code = 128,
               .finished_at = base::UnixNanos(),
               .reason = "StartError",
               .message = "the daemon ended while the container was being restored"},
              base::Durability::kVolatile);
    return Kill(container);
  }
  if (base::Status ended = EndUpdate(container); !ended)
    report(base::Cat("container ", id, ": ", ended.error().Text()));
  if (const auto group = kernel::ResolveCgroup(container.cgroups_path); group && parts_.cgroups->unified()) {
    live->exec_leftovers.With(
        [&](std::vector<base::Path>& folders) { folders = FindExecGroups(*parts_.cgroups, *group); });
  }
  auto process = base::OpenProcess(container.process.pid, container.process.start_time);
  auto monitor = base::OpenProcess(container.monitor.pid, container.monitor.start_time);
  if (process) live->process = *std::move(process);
  if (!monitor) {
    // Between the look at the exit file and the one at the monitor it may have written and ended.
    record = conmon::ReadExitRecord(ExitFile(id));
    OnExit(id, record ? *record : std::nullopt);
    return {};
  }
  auto watched = base::OpenProcess(container.process.pid, container.process.start_time);
  watch_.Watch({.id = id,
                .monitor = *std::move(monitor),
                .process = watched ? *std::move(watched) : base::UniqueFd(),
                .exit_file = ExitFile(id),
                .socket = MonitorSocket(id)});
  if (container.state == State::kCreated) {
    return Submit([this, id, runtime = container.runtime] { (void)FindOutStarted(id, runtime); });
  }
  return {};
}

int64_t Containers::ReadStarting(const std::string& id) const {
  const auto text = base::ReadFile(StartingFile(id));
  const auto time = text ? base::ParseInt(*text) : std::nullopt;
  return time && *time > 0 ? *time : 0;
}

// A start whose outcome nobody noted: the runtime knows. Behind, because it may take its time.
base::Status Containers::FindOutStarted(const std::string& id, const std::string& runtime_name) {
  const LivePtr live = FindLive(id);
  int64_t starting = live ? live->starting.load() : 0;
  ASSIGN_OR_RETURN(const auto runtime, RuntimeOf(runtime_name));
  ASSIGN_OR_RETURN(const oci::State state, runtime->GetState(id, life_.WithTimeout(std::chrono::seconds(10))));
  // The runtime had not been told yet; another start may have begun meanwhile.
  if (state.phase == oci::Phase::kCreated && live && live->starting.compare_exchange_strong(starting, 0)) {
    (void)base::RemoveFile(StartingFile(id));
  }
  if (state.phase != oci::Phase::kRunning) return {};
  const auto run = [&](const Container& old) -> base::Result<Container> {
    Container changed = old;
    if (changed.state == State::kCreated) changed.state = State::kRunning;
    if (changed.started_at == 0) changed.started_at = starting != 0 ? starting : base::UnixNanos();
    return changed;
  };
  RETURN_IF_ERROR(store_.Update(id, run, state::Persist::kBestEffort));
  return {};
}

}  // namespace berth::container
