// StopPodSandbox and RemovePodSandbox: both walk the sandbox's ledger backwards; the first leaves files and cgroup.
#include <unistd.h>

#include "base/strings.h"
#include "kernel/namespace.h"
#include "sandbox/attach.h"
#include "sandbox/sandboxes.h"

namespace berth::sandbox {

using base::Code;
using base::Fail;

namespace {
constexpr auto kSliceTime = std::chrono::seconds(10);
}  // namespace

state::Undoers SandboxUndoers(network::Network& network, const kernel::CgroupTree& cgroups,
                              const kernel::Systemd& systemd) {
  return {
      {"slice",
       [&cgroups, &systemd](const state::Entry& entry, const base::Context& context) -> base::Status {
         // Stopping it stops what is in it, and another pod may have been told to live there.
         ASSIGN_OR_RETURN(const base::Path group, kernel::ResolveCgroup(entry.target));
         if (cgroups.Exists(group)) RETURN_IF_ERROR(cgroups.WaitEmpty(group, context.WithTimeout(kSliceTime)));
         return systemd.StopUnit(entry.target, context.WithTimeout(kSliceTime));
       }},
      {"cgroup parent",
       [&cgroups](const state::Entry& entry, const base::Context&) -> base::Status {
         for (const base::Path& folder : cgroups.Folders(entry.target)) {
           // In use by another pod, or not there in this hierarchy: not ours to remove.
           if (rmdir(folder.c_str()) != 0 && errno != EBUSY && errno != ENOTEMPTY && errno != ENOENT) {
             return base::FailErrno(errno, "remove ", folder.native());
           }
         }
         return {};
       }},
      {"namespace",
       [](const state::Entry& entry, const base::Context&) { return kernel::UnpinNamespace(entry.target); }},
      {"cni", [&network](const state::Entry& entry,
                         const base::Context& context) { return network.Del(RequestOf(entry), context); }},
  };
}

namespace {

// The pod's files and cgroup are still in use by its stopped containers.
bool EndsWithStop(const state::Entry& entry) {
  return entry.kind != "folder" && entry.kind != "cgroup parent" && entry.kind != "slice";
}

}  // namespace

base::Result<std::string> Sandboxes::RunOperation(std::string_view verb, const std::string& id,
                                                  base::Result<std::string> (Sandboxes::*body)(const std::string&,
                                                                                               const base::Context&,
                                                                                               state::Stage&),
                                                  const base::Context& context) {
  auto sandbox = Find(id);
  if (!sandbox) {
    // "This call is idempotent, and must not return an error if the sandbox has already been stopped/removed." (CRI
    // API)
    if (sandbox.error().code == Code::kNotFound) return id;
    return tl::make_unexpected(std::move(sandbox).error());
  }
  const std::string whole = (*sandbox)->id;
  return operations_.Run(
      {.key = base::Cat(verb, "/", whole),
       .what = base::Cat(verb, " sandbox ", whole),
       .timeout = parts_.run_timeout,
       .submit = [this](std::function<void()> work) { return parts_.end_work->Submit(std::move(work)); },
       .body = [this, whole, body](const base::Context& own,
                                   state::Stage& stage) { return (this->*body)(whole, own, stage); },
       .finished = parts_.timelines->Keeper(base::Cat(verb, "PodSandbox"), whole, context.id())},
      context);
}

base::Status Sandboxes::Stop(const std::string& id, const base::Context& context) {
  // The kubelet stops stopped pods again and again: that must cost nothing.
  if (const auto sandbox = Find(id); sandbox && (*sandbox)->state == State::kNotReady) {
    const LedgerPtr ledger = FindLedger((*sandbox)->id);
    const auto left = ledger ? ledger->entries() : std::vector<state::Entry>();
    if (std::none_of(left.begin(), left.end(), EndsWithStop)) return {};
  }
  auto stopped = RunOperation("Stop", id, &Sandboxes::StopBody, context);
  if (!stopped) return tl::make_unexpected(std::move(stopped).error());
  return {};
}

base::Status Sandboxes::Remove(const std::string& id, const base::Context& context) {
  // Operations of their own, waited for here and not inside one: others may be stopping or removing the same.
  RETURN_IF_ERROR(Stop(id, context));
  if (const auto sandbox = Find(id)) RETURN_IF_ERROR(parts_.containers->RemoveAll((*sandbox)->id, context));
  auto removed = RunOperation("Remove", id, &Sandboxes::RemoveBody, context);
  if (!removed) return tl::make_unexpected(std::move(removed).error());
  return {};
}

// Each plugin by its name: the network is where a pod's time goes.
state::Undoers Sandboxes::TimedUndoers(state::Stage& stage) const {
  state::Undoers out = state::Timed(*parts_.undoers, stage);
  if (const auto cni = out.find("cni"); cni != out.end()) {
    cni->second = [this, &stage](const state::Entry& entry, const base::Context& context) {
      return parts_.network->Del(RequestOf(entry), context, CniSteps(stage));
    };
  }
  return out;
}

base::Result<std::string> Sandboxes::StopBody(const std::string& id, const base::Context& context,
                                              state::Stage& stage) {
  // First, so that no container is created behind the look at them.
  SetNotReady(id);
  stage.Enter("stop containers");
  RETURN_IF_ERROR(parts_.containers->StopAll(id, context));
  const LedgerPtr ledger = FindLedger(id);
  if (ledger) {
    const state::UndoReport report = ledger->Undo(TimedUndoers(stage), context, EndsWithStop);
    if (!report.complete()) {
      base::Error error = report.left.front().error;
      error.message = base::Cat("stop sandbox ", id, ": ", report.Text());
      return tl::make_unexpected(std::move(error));
    }
  }
  stage.Enter("record");
  const auto clear = [](const Sandbox& old) -> base::Result<Sandbox> {
    Sandbox changed = old;
    changed.ips.clear();
    return changed;
  };
  (void)store_.Update(id, clear, state::Persist::kBestEffort);  // removed meanwhile is fine
  return id;
}

base::Result<std::string> Sandboxes::RemoveBody(const std::string& id, const base::Context& context,
                                                state::Stage& stage) {
  if (const LedgerPtr ledger = FindLedger(id)) {
    const state::UndoReport report = ledger->Undo(TimedUndoers(stage), context);
    // The name is free all the same; what is left is tried again behind, and over restarts.
    if (!report.complete()) parts_.leftovers->Add(id, ledger, report.Text());
  }
  stage.Enter("record");
  RETURN_IF_ERROR(store_.Erase(id));
  Forget(id);
  return id;
}

void Sandboxes::Forget(const std::string& id) {
  ledgers_.With([&](auto& all) { all.erase(id); });
  parts_.timelines->Forget(id);
  // What the ledger's entries were in; a folder that still holds something stays for the leftovers.
  for (const base::Path& folder :
       {RunFolder(id) / "ns", RunFolder(id) / "shm", RunFolder(id) / "images", RunFolder(id), StateFolder(id)})
    rmdir(folder.c_str());
}

}  // namespace berth::sandbox
