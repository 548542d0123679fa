// What a former daemon left: pods that run on, that a crash cut short, that a reboot ended.
#include <algorithm>

#include "kernel/namespace.h"
#include "sandbox/sandboxes.h"

namespace berth::sandbox {

using Report = std::function<void(const std::string&)>;

base::Status Sandboxes::Recover(const Report& report) {
  RETURN_IF_ERROR(base::MakeDirs(parts_.run_folder, 0711));
  RETURN_IF_ERROR(kernel::PrepareNetnsFolder(parts_.netns_folder));
  ASSIGN_OR_RETURN(const state::LoadReport loaded, store_.Load());
  for (const state::BadRecord& bad : loaded.bad) {
    report(base::Cat("sandbox ", bad.id, ": record set aside at ", bad.path.native(), ": ", bad.error.message));
  }
  for (const std::string& id : loaded.recovered)
    report(base::Cat("sandbox ", id, ": the newest record was torn, the one before is used"));
  for (const auto& [id, sandbox] : store_.Snapshot()) {
    if (base::Status recovered = RecoverOne(id, sandbox, report); !recovered)
      report(base::Cat("sandbox ", id, ": ", recovered.error().Text()));
  }
  const auto known = [&](const std::string& id) { return store_.Get(id) != nullptr; };
  ASSIGN_OR_RETURN(const auto orphans, state::OrphanedLedgers(parts_.run_folder, parts_.state_folder, known));
  for (const std::string& id : orphans) {
    auto ledger = LoadLedger(id, parts_.same_boot);
    if (!ledger) {
      report(base::Cat("sandbox ", id, ": ", ledger.error().Text()));
      continue;
    }
    report(base::Cat("sandbox ", id, ": left without a record, ", (*ledger)->entries().size(),
                     " effects are being undone"));
    UndoLater(id, *ledger, "left by a daemon that was cut short");
  }
  for (const std::string& id : loaded.without_record) {
    if (std::find(orphans.begin(), orphans.end(), id) == orphans.end()) Forget(id);
  }
  return {};
}

// CNI DEL takes time that the start has not got.
void Sandboxes::UndoLater(const std::string& id, const LedgerPtr& ledger, std::string why) {
  const auto entries = ledger->entries();
  if (std::ranges::find(entries, "cni", &state::Entry::kind) != entries.end()) networks_left_.insert(id);
  parts_.leftovers->Add(id, ledger, std::move(why), [this, id] { Forget(id); });
}

std::set<std::string> Sandboxes::NetworksSeenTo() const {
  std::set<std::string> ids = networks_left_;
  for (const auto& sandbox : List()) ids.insert(sandbox->id);
  return ids;
}

base::Status Sandboxes::RecoverOne(const std::string& id, const Sandbox& sandbox, const Report& report) {
  const bool same_boot = parts_.same_boot && sandbox.boot_id == parts_.boot_id;
  ASSIGN_OR_RETURN(LedgerPtr ledger, LoadLedger(id, same_boot));
  if (const size_t damaged = ledger->damaged(); damaged > 0) {
    report(base::Cat("sandbox ", id, ": ", damaged,
                     " unreadable lines or files of its ledger; what they told cannot be undone"));
  }
  // A creation that never succeeded: nobody was told of it.
  if (same_boot && !ledger->owned() && !ledger->empty()) {
    RETURN_IF_ERROR(store_.Erase(id));
    UndoLater(id, ledger, "its creation was cut short");
    report(base::Cat("sandbox ", id, ": its creation was cut short and is being undone"));
    return {};
  }
  ledgers_.With([&](auto& all) { all[id] = ledger; });
  if (sandbox.state != State::kReady) return {};
  if (!same_boot) {
    SetNotReady(id, /*with_address=*/false);
    // Namespaces are gone; the plugins' own files (addresses) are not. StopPodSandbox would do the same.
    if (!ledger->empty()) parts_.leftovers->Add(id, ledger, "the node was restarted");
    return {};
  }
  bool alive = true;
  for (const base::Path* pinned : {&sandbox.net_namespace, &sandbox.ipc_namespace, &sandbox.uts_namespace}) {
    if (pinned->empty()) continue;
    const auto found = kernel::IsNamespaceFile(*pinned);
    alive = alive && found && *found;
  }
  if (sandbox.pause.pid != 0) {
    auto pause = base::OpenProcess(sandbox.pause.pid, sandbox.pause.start_time);
    if (pause)
      WatchPause(id, *std::move(pause));
    else
      alive = false;
  }
  if (!alive) {
    SetNotReady(id);
    report(base::Cat("sandbox ", id, ": a namespace of it is gone, it is not ready any more"));
  }
  return {};
}

}  // namespace berth::sandbox
