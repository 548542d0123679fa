#include "sandbox/pause.h"

#include <sched.h>

#include <cerrno>
#include <thread>

#include "base/child.h"

namespace berth::sandbox {

base::Result<Pause> LaunchPause(const base::Path& program, const base::Path& group, const kernel::CgroupTree& cgroups) {
  ASSIGN_OR_RETURN(base::Pipe go, base::MakePipe());
  base::Result<base::Child> child = base::Fail(base::Code::kInternal, "pause was not started");
  // The new namespace is for the children of the thread that asks for it, and a thread cannot take that back.
  std::thread([&] {
    if (unshare(CLONE_NEWPID) != 0) {
      child = base::FailErrno(errno, "unshare pid namespace");
      return;
    }
    child = base::Spawn({.program = program, .arguments = {"berth-pause"}, .fds = {{go.read.get(), 0}}, .new_session = true});
  }).join();
  if (!child) return tl::make_unexpected(std::move(child).error());
  RETURN_IF_ERROR(cgroups.AddProcess(group, child->pid()));
  ASSIGN_OR_RETURN(const uint64_t start_time, base::ProcessStartTime(child->pid()));
  // It ends by itself unless it reads this byte: had we died before, no ledger would lead to it.
  RETURN_IF_ERROR(base::WriteAll(go.write.get(), "1", "pause"));
  Pause pause{.process = {.pid = child->pid(), .start_time = start_time}};
  pause.pidfd = child->Release();
  return pause;
}

}  // namespace berth::sandbox
