// Exec for somebody who talks to the process: it is started, and its streams are the caller's.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "base/strings.h"
#include "conmon/client.h"
#include "conmon/passed_descriptor.h"
#include "conmon/unix_address.h"
#include "container/containers.h"
#include "container/exec_files.h"

namespace berth::container {

using base::Code;
using base::Fail;

namespace {

base::Result<base::UniqueFd> ConsoleListener(int folder, const std::string& name) {
  const auto address = conmon::AddressIn(folder, name);
  base::UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener || !address) return base::FailErrno(errno, "make the console socket");
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0 ||
      listen(listener.get(), 1) != 0) {
    return base::FailErrno(errno, "listen on the console socket");
  }
  return listener;
}

// Whether `fd` can be read before the child has ended; what came before its end counts.
base::Result<bool> ReadableBeforeEnd(int fd, const base::Child& child, const base::Context& context) {
  while (true) {
    pollfd fds[3] = {{fd, POLLIN, 0}, {child.pidfd(), POLLIN, 0}, {context.fd(), POLLIN, 0}};
    RETURN_IF_ERROR(context.Check("the terminal"));
    if (poll(fds, 3, base::PollTimeout(context.deadline())) < 0 && errno != EINTR)
      return base::FailErrno(errno, "poll");
    if (fds[0].revents != 0) return true;
    if (fds[1].revents != 0) return false;
  }
}

// The master; nothing when the runtime ended without sending one.
base::Result<base::UniqueFd> AwaitMaster(int listener, const base::Child& child, const base::Context& context) {
  ASSIGN_OR_RETURN(const bool connected, ReadableBeforeEnd(listener, child, context));
  if (!connected) return base::UniqueFd();
  const base::UniqueFd connection(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!connection) return base::FailErrno(errno, "accept on the console socket");
  ASSIGN_OR_RETURN(const bool sent, ReadableBeforeEnd(connection.get(), child, context));
  // Runtimes send the terminal's name as data and the master as the one descriptor.
  base::UniqueFd master;
  char name[256];
  if (sent) (void)conmon::ReceiveWithDescriptor(connection.get(), name, sizeof name, master);
  return master;
}

base::Status MakeNonBlocking(int fd) {
  if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) return base::FailErrno(errno, "fcntl");
  return {};
}

}  // namespace

base::Result<StartedExec> Containers::ExecStart(const std::string& id, const std::vector<std::string>& command,
                                                const ExecStreams& streams, const base::Context& context) {
  if (command.empty()) return Fail(Code::kInvalidArgument, "cmd is empty");
  ASSIGN_OR_RETURN(const auto container, Find(id));
  if (container->state != State::kRunning) {
    return Fail(Code::kFailedPrecondition, "container ", container->id, " is ", StateName(container->state),
                ", not running");
  }
  ASSIGN_OR_RETURN(const auto runtime, RuntimeOf(container->runtime));
  ASSIGN_OR_RETURN(const std::string process_json,
                   ProcessJson(Bundle(container->id) / "process.json", command, streams.terminal));
  ASSIGN_OR_RETURN(MemoryFile process, MakeMemoryFile("process.json", process_json));
  ASSIGN_OR_RETURN(MemoryFile log, MakeMemoryFile("runtime.log", ""));
  oci::ExecOptions options{
      .id = container->id, .process = process.path(), .scratch = Bundle(container->id), .log_file = log.path()};
  StartedExec out;
  out.what = base::Cat("exec in container ", container->id, ": runtime ", runtime->name());
  if (streams.terminal) {
    RETURN_IF_ERROR(StartInTerminal(*runtime, options, context, out));
  } else {
    RETURN_IF_ERROR(StartWithPipes(*runtime, options, streams, context, out));
  }
  out.process_file = std::move(process.fd);
  out.runtime_log = std::move(log.fd);
  return out;
}

base::Status Containers::StartWithPipes(oci::Runtime& runtime, oci::ExecOptions options, const ExecStreams& streams,
                                        const base::Context& context, StartedExec& out) {
  base::Pipe input;
  base::Pipe output;
  base::Pipe errors;
  if (streams.input) {
    ASSIGN_OR_RETURN(input, base::MakePipe());
    RETURN_IF_ERROR(MakeNonBlocking(input.write.get()));
  }
  if (streams.output) {
    ASSIGN_OR_RETURN(output, base::MakePipe());
    RETURN_IF_ERROR(MakeNonBlocking(output.read.get()));
  }
  if (streams.errors) {
    ASSIGN_OR_RETURN(errors, base::MakePipe());
    RETURN_IF_ERROR(MakeNonBlocking(errors.read.get()));
  }
  options.standard_input = input.read.get();
  options.standard_output = output.write.get();
  options.standard_error = errors.write.get();
  ASSIGN_OR_RETURN(out.child, runtime.Exec(options, context));
  out.input = std::move(input.write);
  out.output = std::move(output.read);
  out.errors = std::move(errors.read);
  return {};
}

base::Status Containers::StartInTerminal(oci::Runtime& runtime, oci::ExecOptions options, const base::Context& context,
                                         StartedExec& out) {
  ASSIGN_OR_RETURN(const base::UniqueFd folder, base::Open(Bundle(options.id), O_PATH | O_DIRECTORY));
  const std::string name = base::Cat("exec-", base::RandomId().substr(0, 16), ".sock");
  ASSIGN_OR_RETURN(const base::UniqueFd listener, ConsoleListener(folder.get(), name));
  // Through our descriptor: short enough for sun_path however long the folder's path is.
  options.console_socket = base::Cat("/proc/", getpid(), "/fd/", folder.get(), "/", name);
  base::Result<base::UniqueFd> master;
  auto child = runtime.Exec(options, context);
  if (child) master = AwaitMaster(listener.get(), *child, context);
  unlinkat(folder.get(), name.c_str(), 0);
  if (!child) return tl::make_unexpected(std::move(child).error());
  if (!master) return tl::make_unexpected(std::move(master).error());  // ~Child kills what was started
  out.child = *std::move(child);
  out.output = *std::move(master);
  if (!out.output) return {};  // it ended at once: the code and the log tell why
  RETURN_IF_ERROR(MakeNonBlocking(out.output.get()));
  out.input.Reset(fcntl(out.output.get(), F_DUPFD_CLOEXEC, 0));
  if (!out.input) return base::FailErrno(errno, "duplicate the terminal");
  return {};
}

base::Result<base::UniqueFd> Containers::Attach(const std::string& id, const ExecStreams& streams,
                                                const base::Context& context) {
  ASSIGN_OR_RETURN(const auto container, Find(id));
  if (container->state != State::kRunning && container->state != State::kCreated) {
    return Fail(Code::kFailedPrecondition, "container ", container->id, " is ", StateName(container->state),
                ", not running");
  }
  ASSIGN_OR_RETURN(auto monitor, conmon::MonitorConnection::Connect(MonitorSocket(container->id), context));
  const uint32_t flags = (streams.input ? conmon::kAttachStdin : 0u) | (streams.output ? conmon::kAttachStdout : 0u) |
                         (streams.errors ? conmon::kAttachStderr : 0u);
  return monitor.Attach(flags, context);
}

base::Status Containers::ResizeTerminal(const std::string& id, uint16_t columns, uint16_t rows,
                                        const base::Context& context) {
  ASSIGN_OR_RETURN(const auto container, Find(id));
  ASSIGN_OR_RETURN(auto monitor, conmon::MonitorConnection::Connect(MonitorSocket(container->id), context));
  return monitor.Resize(columns, rows, context);
}

}  // namespace berth::container
