#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "conmon/client.h"
#include "conmon/unix_address.h"

namespace berth::conmon {
namespace {

using base::Cat;
using base::Code;
using base::Fail;
using base::FailErrno;
using base::Result;
using base::Status;
using base::UniqueFd;

// How long a monitor that was told to give up has for killing what create left.
constexpr std::chrono::seconds kGiveUpTime{5};
constexpr int kBacklog = 64;

Status Check(const LaunchOptions& options) {
  if (options.runtime.empty()) return Fail(Code::kInvalidArgument, "monitor: no runtime command");
  if (options.join.size() > kJoinLimit) return Fail(Code::kInvalidArgument, "monitor: too many cgroups to join");
  if (options.log_limit < 1 || options.log_limit > kLogLimitMax) {
    return Fail(Code::kInvalidArgument, "monitor: log limit ", options.log_limit, " is not in 1 to ", kLogLimitMax);
  }
  const bool placed = std::ranges::find(options.runtime, kConsoleSocketPlaceholder) != options.runtime.end();
  if (placed != options.terminal)
    return Fail(Code::kInvalidArgument, "monitor: console socket without terminal or reverse");
  return {};
}

std::vector<std::string> Arguments(const LaunchOptions& options, std::chrono::milliseconds create_limit) {
  std::vector<std::string> out = {"berth-monitor",
                                  Cat("--id=", options.id),
                                  Cat("--pid-file=", options.pid_file.native()),
                                  Cat("--run-folder=", options.run_folder.native()),
                                  Cat("--cgroup-root=", options.cgroup_root.native()),
                                  Cat("--log-limit=", options.log_limit),
                                  Cat("--drain-ms=", options.drain.count()),
                                  Cat("--create-ms=", create_limit.count()),
                                  Cat("--terminal=", options.terminal ? "yes" : "no"),
                                  Cat("--stdin=", !options.stdin_open  ? "no"
                                                  : options.stdin_once ? "once"
                                                                       : "open")};
  if (!options.runtime_log.empty()) out.push_back(Cat("--runtime-log=", options.runtime_log.native()));
  if (!options.log.empty()) out.push_back(Cat("--log=", options.log.native()));
  for (const base::Path& folder : options.join) out.push_back(Cat("--join=", folder.native()));
  out.emplace_back("--");
  out.insert(out.end(), options.runtime.begin(), options.runtime.end());
  return out;
}

Result<UniqueFd> Listen(const base::Path& socket_path) {
  ASSIGN_OR_RETURN(UniqueFd folder, base::Open(socket_path.parent_path(), O_PATH | O_DIRECTORY));
  const auto address = AddressIn(folder.get(), socket_path.filename().native());
  if (!address) return Fail(Code::kInvalidArgument, "socket ", socket_path.native(), ": name is too long");
  RETURN_IF_ERROR(base::RemoveFile(socket_path));
  UniqueFd listener(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener) return FailErrno(errno, "make socket");
  // The mode is set before anyone can connect: bind makes the name, listen opens the door.
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0 ||
      fchmodat(folder.get(), socket_path.filename().c_str(), 0600, 0) != 0 || listen(listener.get(), kBacklog) != 0) {
    const int error = errno;
    unlinkat(folder.get(), socket_path.filename().c_str(), 0);
    return FailErrno(error, "listen on ", socket_path.native());
  }
  return listener;
}

// What a launch has made; undone when it is dropped before Keep.
class Launch {
 public:
  explicit Launch(const LaunchOptions& options) : options_(options) {}
  ~Launch() {
    if (kept_) return;
    (void)GiveUp();
    if (listening_) unlink(options_.socket.c_str());
    if (made_exit_file_) unlink(options_.exit_file.c_str());
  }

  Status Start(std::chrono::milliseconds create_limit) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return FailErrno(errno, "pipe");
    sync_.Reset(ends[0]);
    UniqueFd writer(ends[1]);
    made_exit_file_ = !base::Exists(options_.exit_file);
    ASSIGN_OR_RETURN(UniqueFd exit_file, MakeExitFile(options_.exit_file));
    ASSIGN_OR_RETURN(UniqueFd listener, Listen(options_.socket));
    listening_ = true;
    base::SpawnOptions spawn;
    spawn.program = options_.monitor;
    spawn.arguments = Arguments(options_, create_limit);
    spawn.environment = options_.environment;
    spawn.fds = {{writer.get(), kSyncFd}, {listener.get(), kListenFd}, {exit_file.get(), kExitFd}};
    spawn.new_session = true;
    spawn.cgroup = options_.cgroup;
    ASSIGN_OR_RETURN(monitor_, base::Spawn(spawn));
    return {};
  }

  Result<SyncMessage> Await(const base::Context& context) {
    ASSIGN_OR_RETURN(const bool ready, context.Wait(sync_.get(), POLLIN, "the OCI runtime's create"));
    (void)ready;  // without `until`, Wait returns only true or an error
    std::byte content[sizeof(SyncMessage)];
    ssize_t got = 0;
    do got = read(sync_.get(), content, sizeof content);
    while (got < 0 && errno == EINTR);
    if (const auto message = DecodeSync({content, static_cast<size_t>(std::max<ssize_t>(got, 0))})) return *message;
    ASSIGN_OR_RETURN(const base::ExitStatus exit, GiveUp());
    return Fail(Code::kInternal, "monitor ended early with ", exit.Text());
  }

  Launched Keep(const SyncMessage& message, uint64_t monitor_start_time) {
    kept_ = true;
    return {.monitor = std::move(monitor_),
            .monitor_start_time = monitor_start_time,
            .pid = message.pid,
            .start_time = message.start_time};
  }
  pid_t monitor_pid() const { return monitor_.pid(); }
  void KillMonitor() const { monitor_.KillGroup(); }
  bool has_message() const {
    pollfd sync{sync_.get(), POLLIN, 0};
    return poll(&sync, 1, 0) > 0;
  }

 private:
  // Closing the pipe tells the monitor to kill what it started and to end. A stuck one is killed by ~Child.
  Result<base::ExitStatus> GiveUp() {
    sync_.Reset();
    if (monitor_.pid() <= 0) return base::ExitStatus{};
    return monitor_.Wait(base::Context().WithTimeout(kGiveUpTime), "monitor");
  }

  const LaunchOptions& options_;
  UniqueFd sync_;
  base::Child monitor_;
  bool listening_ = false;
  bool made_exit_file_ = false;
  bool kept_ = false;
};

}  // namespace

Result<Launched> LaunchMonitor(const LaunchOptions& options, const base::Context& context) {
  RETURN_IF_ERROR(Check(options));
  RETURN_IF_ERROR(context.Check("the OCI runtime's create"));
  auto limit = options.create_limit;
  if (context.deadline() != base::TimePoint::max()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(context.deadline() - base::Monotonic::now());
    limit = std::clamp(left, std::chrono::milliseconds(1), limit);
  }
  Launch launch(options);
  RETURN_IF_ERROR(launch.Start(limit), "start monitor of ", options.id);
  Status placed;
  if (options.place) placed = options.place(launch.monitor_pid());
  // A monitor that has given up cannot be placed: then its own reason is the one that counts.
  if (!placed && !launch.has_message())
    return tl::make_unexpected(base::Wrap(std::move(placed).error(), "place monitor of ", options.id));
  ASSIGN_OR_RETURN(const SyncMessage message, launch.Await(context), "create container ", options.id);
  if (message.ok == 0) {
    const std::string text = RuntimeErrorText({message.text, message.text_length});
    const Code code = message.timed_out != 0 ? Code::kDeadlineExceeded : Code::kInternal;
    if (message.exit_code <= 0) return Fail(code, "create container ", options.id, ": ", text);
    return Fail(code, "create container ", options.id, ": ", options.runtime[0], " exited with ", message.exit_code,
                ": ", text);
  }
  if (!placed) {
    launch.KillMonitor();  // it waits for nobody's word any more
    return tl::make_unexpected(base::Wrap(std::move(placed).error(), "place monitor of ", options.id));
  }
  // It is our unreaped child, so its /proc entry is there whether it still runs or not.
  ASSIGN_OR_RETURN(const uint64_t start_time, base::ProcessStartTime(launch.monitor_pid()), "monitor of ", options.id);
  return launch.Keep(message, start_time);
}

Result<UniqueFd> MakeExitFile(const base::Path& path) {
  ASSIGN_OR_RETURN(const auto record, ReadExitRecord(path));
  if (record) return Fail(Code::kAlreadyExists, "exit file ", path.native(), ": holds a record");
  ASSIGN_OR_RETURN(UniqueFd fd, base::Open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  int result = 0;
  do result = fallocate(fd.get(), 0, 0, kExitFileSize);
  while (result != 0 && errno == EINTR);
  if (result == 0) return fd;
  if (errno != EOPNOTSUPP) return FailErrno(errno, "allocate ", path.native());
  RETURN_IF_ERROR(base::WriteAll(fd.get(), std::string(kExitFileSize, '\0'), path.native()));
  return fd;
}

Result<std::optional<ExitRecord>> ReadExitRecord(const base::Path& path) {
  auto fd = base::Open(path, O_RDONLY | O_NONBLOCK);
  if (!fd && fd.error().err == ENOENT) return std::optional<ExitRecord>();
  if (!fd) return tl::make_unexpected(std::move(fd).error());
  char content[kExitRecordLimit];
  ssize_t got = 0;
  do got = pread(fd->get(), content, sizeof content, 0);
  while (got < 0 && errno == EINTR);
  if (got < 0) return FailErrno(errno, "read ", path.native());
  return ParseExitRecord({content, static_cast<size_t>(got)});
}

}  // namespace berth::conmon
