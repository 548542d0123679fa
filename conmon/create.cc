#include "conmon/create.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "conmon/passed_descriptor.h"
#include "conmon/text.h"
#include "conmon/unix_address.h"

extern char** environ;

namespace berth::conmon {
namespace {

using std::chrono::milliseconds;

constexpr const char* kConsoleName = "console.sock";
constexpr milliseconds kKillTime{3000};  // a killed process may be stuck in the kernel for longer; it is not waited for
constexpr milliseconds kConsoleTime{2000};

int PollUntil(pollfd* fds, nfds_t count, base::TimePoint until) {
  const auto left = std::chrono::ceil<milliseconds>(until - base::Monotonic::now()).count();
  return poll(fds, count, left < 0 ? 0 : static_cast<int>(left));
}

void EmptySignals(int fd) {
  signalfd_siginfo info;
  while (read(fd, &info, sizeof info) > 0) {
  }
}

bool MakePipe(base::UniqueFd& reader, base::UniqueFd& writer) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  reader.Reset(ends[0]);
  writer.Reset(ends[1]);
  return true;
}

// Up to `size` bytes from the end of a file.
size_t ReadTail(const char* path, char* out, size_t size) {
  const base::UniqueFd file(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return 0;
  const off_t end = lseek(file.get(), 0, SEEK_END);
  if (end <= 0) return 0;
  const off_t from = end > static_cast<off_t>(size) ? end - static_cast<off_t>(size) : 0;
  const ssize_t got = pread(file.get(), out, size, from);
  return got > 0 ? static_cast<size_t>(got) : 0;
}

// A small file that holds one number.
uint64_t ReadNumber(const char* path) {
  const base::UniqueFd file(open(path, O_RDONLY | O_CLOEXEC));
  char text[32];
  const ssize_t got = file ? read(file.get(), text, sizeof text) : 0;
  return got > 0 ? LeadingNumber({text, static_cast<size_t>(got)}) : 0;
}

// What we ignore and block must not be inherited by the container. By system call: the C library's functions,
// posix_spawn included, leave the two signals that they use themselves ignored.
void ResetSignals() {
  const struct {
    uint64_t handler = 0;  // SIG_DFL
    uint64_t flags = 0;
    uint64_t restorer = 0;
    uint64_t mask = 0;
  } by_default;
  for (int signal = 1; signal <= 64; ++signal)
    syscall(SYS_rt_sigaction, signal, &by_default, nullptr, sizeof by_default.mask);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Starts `argv` in a process group of its own with `streams` as 0, 1 and 2; a negative one leaves ours, which is
// /dev/null. Returns an errno or 0. vfork: this process has one thread and no signal handlers, and its child borrows
// its memory until it runs the program, so that errors come back without a pipe.
int Start(char** argv, const int (&streams)[3], pid_t& pid) {
  volatile int error = 0;
  const pid_t child = vfork();
  if (child < 0) return errno;
  if (child == 0) {
    setpgid(0, 0);
    for (int i = 0; i < 3; ++i) {
      // The copy is not close-on-exec; everything else of ours is.
      if (streams[i] >= 0 && dup2(streams[i], i) < 0) error = errno;
    }
    ResetSignals();
    if (error == 0) execve(argv[0], argv, environ);
    if (error == 0) error = errno;
    _exit(127);
  }
  if (error != 0) {
    while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
    return error;
  }
  pid = child;
  return 0;
}

bool KillChildren() {
  Text<64> path;
  const auto self = static_cast<uint64_t>(getpid());
  path.Add("/proc/self/task/").Add(self).Add("/children");
  const base::UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char text[4096];
  const ssize_t got = file ? read(file.get(), text, sizeof text) : 0;
  if (got <= 0) return false;
  std::string_view list(text, static_cast<size_t>(got));
  // A list that fills the buffer may end in half a number.
  if (list.size() == sizeof text) list = list.substr(0, list.rfind(' '));
  while (!list.empty()) {
    // Children are not reaped meanwhile, so their pids are theirs.
    if (const uint64_t child = LeadingNumber(list); child > 1) kill(static_cast<pid_t>(child), SIGKILL);
    const size_t end = list.find(' ');
    list.remove_prefix(end == std::string_view::npos ? list.size() : end + 1);
  }
  return true;
}

}  // namespace

uint64_t StartTimeOf(pid_t pid) {
  Text<64> path;
  path.Add("/proc/").Add(static_cast<uint64_t>(pid)).Add("/stat");
  const base::UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char text[1024];
  const ssize_t got = file ? read(file.get(), text, sizeof text) : 0;
  if (got <= 0) return 0;
  std::string_view stat(text, static_cast<size_t>(got));
  // The command's name may hold blanks and parentheses; field 3 follows the last one.
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos) return 0;
  stat.remove_prefix(name_end + 1);
  for (int field = 3; field <= 22; ++field) {
    const size_t blank = stat.find(' ');
    if (blank == std::string_view::npos) return 0;
    stat.remove_prefix(blank + 1);
  }
  return LeadingNumber(stat);
}

void Explain(SyncMessage& message, const char* what, int error) {
  Text<kSyncTextLimit> text;
  text.Add(what);
  if (error != 0) {
    const char* cause = strerrordesc_np(error);
    text.Add(": ").Add(cause != nullptr ? cause : "unknown error");
  }
  std::memcpy(message.text, text.c_str(), text.size());
  message.text_length = static_cast<uint32_t>(text.size());
}

bool Creation::Run(SyncMessage& message) {
  message.exit_code = -1;
  // Descriptors that nobody needs any more are closed on every way out.
  const bool made = MakeStreams(message) && Spawn(message) && Await(message) && Adopt(message);
  if (!made && runtime_ > 0) Abandon();
  child_in_.Reset();
  child_out_.Reset();
  child_err_.Reset();
  console_.Reset();
  console_listener_.Reset();
  if (run_folder_) unlinkat(run_folder_.get(), kConsoleName, 0);
  run_folder_.Reset();
  return made;
}

bool Creation::MakeStreams(SyncMessage& message) {
  bool made = MakePipe(err, child_err_);
  if (!options_.terminal) {
    made = made && MakePipe(out, child_out_);
    if (options_.stdin_open) made = made && MakePipe(child_in_, in);
  }
  if (!made) {
    Explain(message, "make pipes", errno);
    return false;
  }
  for (const int fd : {out.get(), err.get(), in.get()}) {
    if (fd >= 0) fcntl(fd, F_SETFL, O_NONBLOCK);
  }
  return !options_.terminal || MakeConsole(message);
}

bool Creation::MakeConsole(SyncMessage& message) {
  run_folder_.Reset(open(options_.run_folder, O_PATH | O_DIRECTORY | O_CLOEXEC));
  console_listener_.Reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const auto address = AddressIn(run_folder_.get(), kConsoleName);
  if (!run_folder_ || !console_listener_ || !address) {
    Explain(message, "make console socket", errno);
    return false;
  }
  unlinkat(run_folder_.get(), kConsoleName, 0);
  if (bind(console_listener_.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0 ||
      listen(console_listener_.get(), 1) != 0) {
    Explain(message, "listen on console socket", errno);
    return false;
  }
  return true;
}

bool Creation::Spawn(SyncMessage& message) {
  // The runtime names the socket through our own descriptor: short enough for sun_path however long the folder's path
  // is.
  static Text<64> console;
  console.Add("/proc/").Add(static_cast<uint64_t>(getpid())).Add("/fd/");
  console.Add(static_cast<uint64_t>(run_folder_ ? run_folder_.get() : 0)).Add("/").Add(kConsoleName);
  for (char** argument = options_.runtime; *argument != nullptr; ++argument) {
    if (std::string_view(*argument) == kConsoleSocketPlaceholder)
      *argument = const_cast<char*>(console.c_str());  // NOLINT
  }
  const int streams[3] = {child_in_.get(), child_out_.get(), child_err_.get()};
  const int error = Start(options_.runtime, streams, runtime_);
  child_in_.Reset();
  child_out_.Reset();
  child_err_.Reset();
  if (error == 0) return true;
  Explain(message, "start the OCI runtime", error);
  return false;
}

bool Creation::Await(SyncMessage& message) {
  const base::TimePoint until = base::Monotonic::now() + milliseconds(options_.create_ms);
  siginfo_t info{};
  while (true) {
    // Only the runtime is reaped here: the container's first process is Adopt's to find, ended or not.
    info.si_pid = 0;
    if (waitid(P_PID, static_cast<id_t>(runtime_), &info, WEXITED | WNOHANG) != 0) {
      Explain(message, "wait for the OCI runtime", errno);
      return false;
    }
    if (info.si_pid != 0) break;
    if (!AwaitEvent(message, until)) return false;
  }
  runtime_reaped_ = true;
  if (info.si_code == CLD_EXITED && info.si_status == 0) return true;
  message.exit_code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
  AddRuntimeText(message);
  return false;
}

bool Creation::AwaitEvent(SyncMessage& message, base::TimePoint until) {
  pollfd fds[4] = {{signals_, POLLIN, 0},
                   {sync_, 0, 0},  // its reader's end is reported unasked
                   {console_ ? -1 : console_listener_.get(), POLLIN, 0},
                   {console_ && !out ? console_.get() : -1, POLLIN, 0}};
  const int ready = PollUntil(fds, 4, until);
  if (ready < 0 && errno != EINTR) {
    Explain(message, "poll", errno);
    return false;
  }
  if (fds[1].revents != 0) {
    Explain(message, "create was given up", 0);
    return false;
  }
  if (fds[0].revents != 0) EmptySignals(signals_);
  if (fds[2].revents != 0)
    console_.Reset(accept4(console_listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (fds[3].revents != 0) ReceiveMaster();
  if (base::Monotonic::now() < until) return true;
  message.timed_out = 1;
  Explain(message, "the OCI runtime's create did not end in time and was killed", 0);
  return false;
}

void Creation::ReceiveMaster() {
  // Runtimes send the terminal's name as data and the master as the one descriptor.
  char name[256];
  const ssize_t got = ReceiveWithDescriptor(console_.get(), name, sizeof name, out);
  if (!out) {
    if (got < 0 && errno == EAGAIN) return;
    console_.Reset();  // whoever that was, it brought no terminal
    return;
  }
  fcntl(out.get(), F_SETFL, fcntl(out.get(), F_GETFL) | O_NONBLOCK);
}

bool Creation::Adopt(SyncMessage& message) {
  if (options_.terminal) {
    // It was sent before the runtime ended, so it is there already; the bound is for a runtime that never sends one.
    const base::TimePoint until = base::Monotonic::now() + kConsoleTime;
    while (!out && base::Monotonic::now() < until) {
      pollfd fd = {console_ ? console_.get() : console_listener_.get(), POLLIN, 0};
      if (PollUntil(&fd, 1, until) <= 0) break;
      if (console_)
        ReceiveMaster();
      else
        console_.Reset(accept4(console_listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    }
    err.Reset();
    if (out && options_.stdin_open) in.Reset(fcntl(out.get(), F_DUPFD_CLOEXEC, 0));
    if (!out || (options_.stdin_open && !in)) {
      Explain(message, "the OCI runtime gave no terminal", 0);
      return false;
    }
  }
  pid = static_cast<pid_t>(ReadNumber(options_.pid_file));
  siginfo_t info{};
  // Answers for a child of ours, also for one that ended meanwhile; it stays unreaped.
  if (pid <= 1 || waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
    Explain(message, "the pid file of the OCI runtime names no child of its own", 0);
    return false;
  }
  message.ok = 1;
  message.exit_code = 0;
  message.pid = pid;
  message.start_time = StartTimeOf(pid);
  return true;
}

void Creation::AddRuntimeText(SyncMessage& message) {
  size_t got = options_.runtime_log != nullptr ? ReadTail(options_.runtime_log, message.text, kSyncTextLimit) : 0;
  if (got == 0) {
    const ssize_t text = read(err.get(), message.text, kSyncTextLimit);
    got = text > 0 ? static_cast<size_t>(text) : 0;
  }
  message.text_length = static_cast<uint32_t>(got);
}

void Creation::Abandon() {
  const base::TimePoint until = base::Monotonic::now() + kKillTime;
  siginfo_t info{};
  // The group's number is the runtime's own until it is reaped.
  if (!runtime_reaped_) kill(-runtime_, SIGKILL);
  while (base::Monotonic::now() < until) {
    KillChildren();
    info.si_pid = 0;
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == 0 && info.si_pid != 0) info.si_pid = 0;
    // Reaped parents leave orphans to us, so this goes on until there is no child left.
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 && errno == ECHILD) return;
    pollfd fd = {signals_, POLLIN, 0};
    if (PollUntil(&fd, 1, until) > 0) EmptySignals(signals_);
  }
}

}  // namespace berth::conmon
