// RemoveContainer, and how what containers leave on the host is taken back.
#include <stdio.h>

#include "base/strings.h"
#include "container/containers.h"
#include "container/live.h"
#include "kernel/mount.h"

namespace berth::container {

using base::Code;
using base::Fail;

namespace {
constexpr auto kEmptyTime = std::chrono::seconds(10);
}  // namespace

state::Undoers ContainerUndoers(const Runtimes& runtimes, const kernel::CgroupTree& cgroups,
                                const kernel::Systemd& systemd) {
  const auto empty_cgroup = [&cgroups, &systemd](const std::string& path,
                                                 const base::Context& context) -> base::Status {
    ASSIGN_OR_RETURN(const base::Path group, kernel::ResolveCgroup(path));
    if (cgroups.Exists(group)) {
      RETURN_IF_ERROR(cgroups.Kill(group));
      RETURN_IF_ERROR(cgroups.WaitEmpty(group, context.WithTimeout(kEmptyTime)));
    }
    // Its cgroup may be gone and the unit still there, failed or about to start.
    if (group.extension() == ".scope") return systemd.StopUnit(group.filename(), context.WithTimeout(kEmptyTime));
    if (!cgroups.Exists(group)) return {};
    return cgroups.Remove(group);
  };
  return {
      {"oci",
       [&runtimes, empty_cgroup](const state::Entry& entry, const base::Context& context) -> base::Status {
         const auto runtime = runtimes.find(entry.details.at("runtime"));
         if (runtime == runtimes.end()) {
           return Fail(Code::kFailedPrecondition, "runtime handler \"", entry.details.at("runtime"),
                       "\" is not configured any more");
         }
         RETURN_IF_ERROR(runtime->second->Delete(entry.target, /*force=*/true, context));
         // The runtime removes its cgroup; one that it did not get to make or lost track of is ours to remove.
         return empty_cgroup(entry.details.at("cgroup"), context);
       }},
      {"cgroup", [empty_cgroup](const state::Entry& entry,
                                const base::Context& context) { return empty_cgroup(entry.target, context); }},
      {"mount", [](const state::Entry& entry, const base::Context&) { return kernel::Unmount(entry.target); }},
      {"folder", [](const state::Entry& entry, const base::Context&) { return base::RemoveTree(entry.target); }},
  };
}

base::Status Containers::Remove(const std::string& id, const base::Context& context) {
  auto container = Find(id);
  if (!container) {
    // "This call is idempotent, and must not return an error if the container has already been removed." (CRI API)
    if (container.error().code == Code::kNotFound) return {};
    return tl::make_unexpected(std::move(container).error());
  }
  const std::string whole = (*container)->id;
  auto result = operations_.Run(
      {.key = "remove/" + whole,
       .what = "RemoveContainer " + whole,
       .timeout = parts_.create_timeout,
       .submit = [this](std::function<void()> work) { return Submit(std::move(work)); },
       .body = [this, whole](const base::Context& own, state::Stage& stage) { return RemoveBody(whole, own, stage); },
       .finished = parts_.timelines->Keeper("RemoveContainer", whole, context.id())},
      context);
  if (!result) return tl::make_unexpected(std::move(result).error());
  return {};
}

base::Result<std::string> Containers::RemoveBody(const std::string& id, const base::Context& context,
                                                 state::Stage& stage) {
  const auto container = store_.Get(id);
  if (!container) return id;
  const LivePtr live = FindLive(id);
  if (container->state != State::kExited) {
    stage.Enter("kill");
    RETURN_IF_ERROR(Stop(id, std::chrono::nanoseconds(0), context));
  }
  if (live) {
    const state::UndoReport report = live->ledger->Undo(state::Timed(*parts_.undoers, stage), context);
    // The name is free all the same; what is left is tried again behind, and over restarts.
    if (!report.complete()) parts_.leftovers->Add(id, live->ledger, report.Text());
  }
  stage.Enter("record");
  RETURN_IF_ERROR(store_.Erase(id));
  live_.With([&](auto& all) { all.erase(id); });
  Discard(id);
  return id;
}

void Containers::Discard(const std::string& id) {
  parts_.timelines->Forget(id);
  const base::Path trash = parts_.trash_folder / id;
  if (rename(StateFolder(id).c_str(), trash.c_str()) == 0) {
    const auto remove = [trash] { (void)base::RemoveTree(trash); };  // what stays is removed at the next start
    if (!parts_.removal->Submit(remove)) remove();
  }
  rmdir(RunFolder(id).c_str());
  parts_.images->Unref(id);
}

base::Status Containers::RemoveAll(const std::string& sandbox_id, const base::Context& context) {
  base::Status first;
  for (const auto& container : List()) {
    if (container->sandbox_id != sandbox_id) continue;
    if (base::Status removed = Remove(container->id, context); !removed && first) first = std::move(removed);
  }
  return first;
}

}  // namespace berth::container
