// UpdateContainerResources: all of it or nothing, in the kernel and in the record.
#include <mutex>

#include "base/strings.h"
#include "container/containers.h"
#include "container/limits.h"
#include "container/live.h"
#include "container/unfinished_update.h"
#include "cri-proto/api.pb.h"

namespace berth::container {

using base::Code;
using base::Fail;

namespace {

constexpr auto kUndoTime = std::chrono::seconds(10);

base::Status CheckState(const Container& container) {
  if (container.restored && container.state == State::kCreated)
    return Fail(Code::kFailedPrecondition, "container ", container.id,
                " is made from a checkpoint and not started: it has no cgroup yet");
  if (container.state != State::kExited) return {};
  return Fail(Code::kFailedPrecondition, "container ", container.id, " is ", StateName(container.state),
              ", neither created nor running");
}

}  // namespace

base::Status Containers::UpdateResources(const std::string& id_or_prefix, const cri::LinuxContainerResources& update,
                                         const base::Context& context) {
  ASSIGN_OR_RETURN(const auto found, Find(id_or_prefix));
  const std::string id = found->id;
  RETURN_IF_ERROR(CheckState(*found));
  const LivePtr live = FindLive(id);
  if (!live) return Fail(Code::kFailedPrecondition, "container ", id, " has ended");
  // Held over the kernel's reclaim, unlike other locks: only updates of this container wait for it, and no longer than
  // their call.
  const std::unique_lock turn(live->updating, context.deadline());
  if (!turn)
    return Fail(Code::kDeadlineExceeded, "UpdateContainerResources ", id, ": another update of it is under way");

  ASSIGN_OR_RETURN(const auto container, Find(id));
  RETURN_IF_ERROR(CheckState(*container));
  const cri::LinuxContainerResources& old = container->config->linux().resources();
  const cri::LinuxContainerResources merged = MergeResources(old, update);
  ASSIGN_OR_RETURN(oci::Resources whole, MapResources(merged, parts_.spec.resources));

  // Written before each change: should this daemon be killed, the next one knows what to put back.
  kernel::CgroupChange change([&](const auto& kept) {
    return base::WriteFile(UpdateFile(id), Encode(UnfinishedUpdate{.record = old, .kept = kept}));
  });
  base::Status done = SetLimits(*container, OnlyUpdated(whole, update), change, context);
  if (done) {
    auto config = std::make_shared<cri::ContainerConfig>(*container->config);
    *config->mutable_linux()->mutable_resources() = merged;
    const auto keep = [&](const Container& now) -> base::Result<Container> {
      RETURN_IF_ERROR(CheckState(now));
      Container changed = now;
      changed.config = config;
      return changed;
    };
    if (auto kept = store_.Update(id, keep, state::Persist::kMust, base::Durability::kDurable); !kept)
      done = tl::make_unexpected(kept.error());
  }
  if (done) {
    // One that stays is seen to be done by its record.
    (void)base::RemoveFile(UpdateFile(id));
    return {};
  }
  base::Error& error = done.error();
  // systemd would bring the new values back at its next reload.
  if (parts_.systemd_cgroup) {
    const auto before = MapResources(old, parts_.spec.resources);
    if (before) {
      const base::Status back = TellRuntime(*container, OnlyUpdated(*before, update), life_.WithTimeout(kUndoTime));
      if (!back) error.clean_up = back.error().message;
    }
  }
  error.clean_up += change.Undo();
  (void)base::RemoveFile(UpdateFile(id));
  // A group that has gone is a container that has ended meanwhile.
  if (const auto now = Find(id); !now || now.value()->state == State::kExited)
    error.code = Code::kFailedPrecondition;
  else if (error.err == EINVAL || error.err == ERANGE)
    error.code = Code::kInvalidArgument;
  return done;
}

// The caller had no answer, so either is right; what the record says is.
base::Status Containers::EndUpdate(const Container& container) {
  const base::Path file = UpdateFile(container.id);
  if (!base::Exists(file)) return {};
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(file));
  ASSIGN_OR_RETURN(UnfinishedUpdate update, DecodeUpdate(text));
  std::string problems;
  if (!IsDone(update, container.config->linux().resources())) {
    problems = kernel::CgroupChange(nullptr, std::move(update.kept)).Undo();
    // As above; the start waits for no runtime.
    if (parts_.systemd_cgroup) RETURN_IF_ERROR(Submit([this, id = container.id] { (void)TellRuntimeLimits(id); }));
  }
  RETURN_IF_ERROR(base::RemoveFile(file));
  if (!problems.empty()) return Fail(Code::kInternal, "an update was cut short: ", problems);
  return {};
}

base::Status Containers::TellRuntimeLimits(const std::string& id) {
  const LivePtr live = FindLive(id);
  if (!live) return {};
  const base::Context context = life_.WithTimeout(kUndoTime);
  const std::unique_lock turn(live->updating, context.deadline());
  if (!turn) return {};
  ASSIGN_OR_RETURN(const auto container, Find(id));
  const cri::LinuxContainerResources& record = container->config->linux().resources();
  ASSIGN_OR_RETURN(const oci::Resources whole, MapResources(record, parts_.spec.resources));
  return TellRuntime(*container, OnlyUpdated(whole, record), context);
}

base::Status Containers::TellRuntime(const Container& container, const oci::Resources& limits,
                                     const base::Context& context) {
  ASSIGN_OR_RETURN(const auto runtime, RuntimeOf(container.runtime));
  RETURN_IF_ERROR(runtime->Update(container.id, oci::ToJson(limits), context));
  const auto unit = UnitLimits(limits);
  if (!parts_.systemd_cgroup || !parts_.cgroups->unified() || unit.empty()) return {};
  ASSIGN_OR_RETURN(const base::Path group, kernel::ResolveCgroup(container.cgroups_path));
  return parts_.systemd->SetLimits(group.filename(), unit, context);
}

// The OCI runtime's own update promises no all or nothing, names no field in its errors and costs a process; so the
// files are written here. It is asked last, for what only it does: limits that systemd must know of, and the weight
// that v2 has for shares.
base::Status Containers::SetLimits(const Container& container, const oci::Resources& limits,
                                   kernel::CgroupChange& change, const base::Context& context) {
  ASSIGN_OR_RETURN(const base::Path group, kernel::ResolveCgroup(container.cgroups_path));
  RETURN_IF_ERROR(WriteLimits(limits, *parts_.cgroups, group, change));
  oci::Resources asked;
  if (parts_.systemd_cgroup)
    asked = limits;
  else if (parts_.cgroups->unified())
    asked.cpu_shares = limits.cpu_shares;
  if (oci::ToJson(asked) == oci::ToJson(oci::Resources())) return {};
  if (limits.cpu_shares && parts_.cgroups->unified()) {
    ASSIGN_OR_RETURN(const base::Path folder, parts_.cgroups->Folder(group, "cpu"), "resources: cpu_shares");
    RETURN_IF_ERROR(change.Keep(folder / "cpu.weight"), "resources: cpu_shares");
  }
  return TellRuntime(container, asked, context);
}

}  // namespace berth::container
