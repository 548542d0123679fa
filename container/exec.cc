// ExecSync: one `exec` of the OCI runtime (for runc also its parent, see oci/runtime.h), no file: what it reads and
// writes are memory files of ours, which it opens through /proc. On cgroup v2 what it starts is in a cgroup of its own.
#include <poll.h>

#include "base/strings.h"
#include "container/containers.h"
#include "container/exec_files.h"
#include "container/exec_group.h"
#include "container/live.h"

namespace berth::container {

using base::Code;
using base::Fail;

namespace {

// The runtime reaps what it started once that is dead, and ends; killed itself, it would leave a zombie that the
// container sees. One that is still starting has nothing to kill yet: look again.
void EndExec(base::Child& child, const ExecGroup& group) {
  for (int attempt = 0; attempt < 4; ++attempt) {
    group.Kill();
    base::KillDescendants(child.pid());
    if (child.Wait(base::Context().WithTimeout(std::chrono::milliseconds(250)), "exec")) break;
  }
  // Whoever was still on the way into it has arrived or is dead. ~Child kills a runtime that has not ended.
  group.End();
}

// What the runtime cannot do in a container whose first process is dead is no fault of anybody's. Its end may be known
// to the kernel alone yet.
base::Error Explained(base::Error error, const std::string& id, const base::UniqueFd& first_process) {
  pollfd ended{first_process.get(), POLLIN, 0};
  if (error.code != Code::kInternal || poll(&ended, 1, 0) <= 0) return error;
  error.code = Code::kFailedPrecondition;
  error.message = base::Cat("container ", id, " ended meanwhile: ", error.message);
  return error;
}

}  // namespace

base::Result<ExecResult> Containers::ExecSync(const std::string& id, const std::vector<std::string>& command,
                                              std::chrono::nanoseconds timeout, const base::Context& caller) {
  if (command.empty()) return Fail(Code::kInvalidArgument, "cmd is empty");
  ASSIGN_OR_RETURN(const auto container, Find(id));
  if (container->state != State::kRunning) {
    return Fail(Code::kFailedPrecondition, "container ", container->id, " is ", StateName(container->state),
                ", not running");
  }
  RETURN_IF_ERROR(caller.Check("ExecSync"));  // it may have waited for its turn longer than its caller
  ASSIGN_OR_RETURN(const auto runtime, RuntimeOf(container->runtime));
  ASSIGN_OR_RETURN(const std::string process_json, ProcessJson(Bundle(container->id) / "process.json", command, false));
  ASSIGN_OR_RETURN(const oci::Features features, runtime->GetFeatures(caller));
  const LivePtr live = FindLive(container->id);
  ASSIGN_OR_RETURN(const base::Path container_group, kernel::ResolveCgroup(container->cgroups_path));
  const bool grouped = live && features.exec_cgroup && parts_.cgroups->unified();
  const ExecGroup group =
      grouped ? ExecGroup::Make(*parts_.cgroups, container_group, live->exec_leftovers) : ExecGroup();
  ASSIGN_OR_RETURN(const MemoryFile process, MakeMemoryFile("process.json", process_json));
  ASSIGN_OR_RETURN(const MemoryFile log, MakeMemoryFile("runtime.log", ""));
  ASSIGN_OR_RETURN(base::Pipe output, base::MakePipe());
  ASSIGN_OR_RETURN(base::Pipe errors, base::MakePipe());
  auto begun = runtime->Exec({.id = container->id,
                              .process = process.path(),
                              .scratch = Bundle(container->id),
                              .log_file = log.path(),
                              .cgroup = group.name(),
                              .standard_output = output.write.get(),
                              .standard_error = errors.write.get()},
                             caller);
  const auto explained = [&](base::Error error) {
    return tl::make_unexpected(live ? Explained(std::move(error), container->id, live->process) : std::move(error));
  };
  if (!begun) return explained(std::move(begun).error());
  base::Child child = *std::move(begun);
  output.write.Reset();
  errors.write.Reset();

  const base::Context context = timeout > std::chrono::nanoseconds(0) ? caller.WithTimeout(timeout) : caller;
  const std::string what = base::Cat("exec in container ", container->id);
  auto collected = base::Collect(
      child, base::UniqueFd(), std::move(output.read), std::move(errors.read),
      {.each_limit = 16 << 20, .total_limit = parts_.exec_output_limit, .drain = parts_.exec_drain}, context, what);
  if (!collected) {
    EndExec(child, group);
    if (collected.error().code == Code::kDeadlineExceeded && base::Monotonic::now() < caller.deadline()) {
      return Fail(Code::kDeadlineExceeded, what, ": command timed out after ",
                  std::chrono::duration_cast<std::chrono::seconds>(timeout).count(), " s");
    }
    return tl::make_unexpected(std::move(collected).error());
  }
  auto code = ExecCode(collected->exit, log.fd.get(), base::Cat(what, ": runtime ", runtime->name()));
  if (!code) return explained(std::move(code).error());
  return ExecResult{.exit_code = *code, .output = std::move(collected->output), .errors = std::move(collected->errors)};
}

}  // namespace berth::container
