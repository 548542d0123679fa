#include "sandbox/pause.h"

#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <thread>

#include "base/child.h"

namespace berth::sandbox {
namespace {

// Far more than it takes: a dozen system calls on nothing that others control.
constexpr std::chrono::seconds kIsolationLimit{30};

// What berth-pause says of itself: a byte 0, or errno and the step that failed.
base::Status AwaitIsolated(int control) {
  const base::Context context = base::Context().WithTimeout(kIsolationLimit);
  if (auto ready = context.Wait(control, POLLIN, "berth-pause"); !ready) return tl::make_unexpected(std::move(ready).error());
  std::array<char, 64> reply{};
  const ssize_t size = recv(control, reply.data(), reply.size(), 0);
  if (size < 0) return base::FailErrno(errno, "berth-pause");
  if (size == 0) return base::Fail(base::Code::kInternal, "berth-pause ended before it was isolated");
  if (reply[0] == 0) return {};
  return base::FailErrno(static_cast<unsigned char>(reply[0]), "berth-pause: ", std::string_view(reply.data() + 1, static_cast<size_t>(size) - 1));
}

}  // namespace

base::Result<Pause> LaunchPause(const base::Path& program, const std::function<base::Status(pid_t)>& place) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return base::FailErrno(errno, "socketpair");
  const base::UniqueFd ours(ends[0]);
  base::UniqueFd theirs(ends[1]);
  base::Result<base::Child> child = base::Fail(base::Code::kInternal, "pause was not started");
  // The new namespace is for the children of the thread that asks for it, and a thread cannot take that back.
  std::thread([&] {
    if (unshare(CLONE_NEWPID) != 0) {
      child = base::FailErrno(errno, "unshare pid namespace");
      return;
    }
    child = base::Spawn({.program = program, .arguments = {"berth-pause"}, .fds = {{theirs.get(), 0}}, .new_session = true});
  }).join();
  theirs.Reset();
  if (!child) return tl::make_unexpected(std::move(child).error());
  RETURN_IF_ERROR(place(child->pid()), "place berth-pause");
  ASSIGN_OR_RETURN(const uint64_t start_time, base::ProcessStartTime(child->pid()));
  // It ends by itself unless it gets this byte: had we died before, no ledger would lead to it.
  if (send(ours.get(), "1", 1, MSG_NOSIGNAL) != 1) return base::FailErrno(errno, "start berth-pause");
  // No container may join the namespace before: its /proc/1/root would be the host's.
  RETURN_IF_ERROR(AwaitIsolated(ours.get()));
  return Pause{.process = {.pid = child->pid(), .start_time = start_time}, .child = *std::move(child)};
}

}  // namespace berth::sandbox
