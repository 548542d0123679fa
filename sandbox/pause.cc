#include "sandbox/pause.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string>
#include <thread>

#include "base/child.h"
#include "base/strings.h"

namespace berth::sandbox {
namespace {

// Far more than it takes: a dozen system calls on nothing that others control.
constexpr std::chrono::seconds kIsolationLimit{30};

// One message of berth-pause; never empty.
base::Result<std::string> Receive(int control, const base::Context& context) {
  if (auto ready = context.Wait(control, POLLIN, "berth-pause"); !ready)
    return tl::make_unexpected(std::move(ready).error());
  std::array<char, 64> message{};
  const ssize_t size = recv(control, message.data(), message.size(), 0);
  if (size < 0) return base::FailErrno(errno, "berth-pause");
  if (size == 0) return base::Fail(base::Code::kInternal, "berth-pause ended before it was isolated");
  return std::string(message.data(), static_cast<size_t>(size));
}

// errno and the step that failed.
tl::unexpected<base::Error> Failed(const std::string& message) {
  return base::FailErrno(static_cast<unsigned char>(message[0]), "berth-pause: ", message.substr(1));
}

// What berth-pause says of itself: a byte 0, or why not.
base::Status AwaitIsolated(int control) {
  ASSIGN_OR_RETURN(const std::string message, Receive(control, base::Context().WithTimeout(kIsolationLimit)));
  if (message[0] != 0) return Failed(message);
  return {};
}

base::Result<base::Child> Spawn(const base::Path& program, int control) {
  base::Result<base::Child> child = base::Fail(base::Code::kInternal, "pause was not started");
  // The new namespace is for the children of the thread that asks for it, and a thread cannot take that back.
  std::thread([&] {
    if (unshare(CLONE_NEWPID) != 0) {
      child = base::FailErrno(errno, "unshare pid namespace");
      return;
    }
    child = base::Spawn({.program = program, .arguments = {"berth-pause"}, .fds = {{control, 0}}, .new_session = true});
  }).join();
  return child;
}

// A thread cannot enter a user namespace: the program does, and leaves us the process that it made there.
base::Result<base::Child> SpawnInside(const base::Path& program, const base::Path& user_namespace,
                                      base::UniqueFd theirs, int ours) {
  ASSIGN_OR_RETURN(const base::UniqueFd space, base::Open(user_namespace, O_RDONLY));
  ASSIGN_OR_RETURN(base::Child first, base::Spawn({.program = program,
                                                   .arguments = {"berth-pause", "enter"},
                                                   .fds = {{theirs.get(), 0}, {space.get(), 3}}}));
  theirs.Reset();
  const base::Context context = base::Context().WithTimeout(kIsolationLimit);
  ASSIGN_OR_RETURN(const std::string message, Receive(ours, context));
  const auto pid = message.starts_with("pid ") ? base::ParseInt(message.substr(4)) : std::nullopt;
  if (!pid) return Failed(message);
  ASSIGN_OR_RETURN(base::UniqueFd pidfd, base::OpenPidfd(static_cast<pid_t>(*pid)));
  base::Child child(static_cast<pid_t>(*pid), std::move(pidfd), false);
  RETURN_IF_ERROR(first.Wait(context, "berth-pause"));
  return child;
}

}  // namespace

base::Result<Pause> LaunchPause(const base::Path& program, const base::Path& user_namespace,
                                const std::function<base::Status(pid_t)>& place) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return base::FailErrno(errno, "socketpair");
  const base::UniqueFd ours(ends[0]);
  base::UniqueFd theirs(ends[1]);
  auto child = user_namespace.empty() ? Spawn(program, theirs.get())
                                      : SpawnInside(program, user_namespace, std::move(theirs), ours.get());
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
