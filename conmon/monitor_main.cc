// berth-monitor: see protocol.h for what it is told and tells, options.h for its command line.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

#include "conmon/monitor.h"
#include "conmon/text.h"

namespace berth::conmon {
namespace {

constinit MonitorMemory g_memory{};

void WriteOnce(const char* path, std::string_view text) {
  const base::UniqueFd file(open(path, O_WRONLY | O_CLOEXEC));
  if (file) (void)!write(file.get(), text.data(), text.size());
}

// Ends a monitor that has no container.
int Refuse(int sync, const SyncMessage& message) {
  (void)!write(sync, &message, sizeof message);
  return 1;
}

int Prepare() {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  prctl(PR_SET_NAME, "berth-monitor");
  for (const int fd : {kSyncFd, kListenFd, kExitFd}) fcntl(fd, F_SETFD, FD_CLOEXEC);
  close_range(kExitFd + 1, ~0U, 0);
  // The container ends us by ending. Whoever stops or restarts the service does not mean us.
  for (const int signal : {SIGPIPE, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2}) ::signal(signal, SIG_IGN);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, nullptr);
  return signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
}

void JoinCgroups(const MonitorOptions& options) {
  for (size_t i = 0; i < options.joins; ++i) {
    Text<4096> path;
    WriteOnce(path.Add(options.join[i]).Add("/cgroup.procs").c_str(), "0");
  }
}

int Main(std::span<char*> argv) {
  const int signals = Prepare();
  base::UniqueFd sync(kSyncFd);
  MonitorOptions options;
  SyncMessage message;
  message.exit_code = -1;
  if (const char* wrong = ParseOptions(argv, options)) {
    Explain(message, wrong, 0);
    return Refuse(sync.get(), message);
  }
  JoinCgroups(options);
  Monitor monitor(options, g_memory, signals);
  if (const int error = monitor.OpenLog()) {
    Explain(message, "open the container's log", error);
    return Refuse(sync.get(), message);
  }
  Creation creation(options, signals, sync.get());
  if (!creation.Run(message)) return Refuse(sync.get(), message);
  // Not before: what create started would have inherited it. Refused to those who may not lower it.
  WriteOnce("/proc/self/oom_score_adj", "-999");
  if (!monitor.Adopt(creation, message.start_time)) {
    message.ok = 0;
    Explain(message, "watch the container", errno);
    creation.Abandon();
    return Refuse(sync.get(), message);
  }
  (void)!write(sync.get(), &message, sizeof message);
  sync.Reset();
  monitor.Run();
  return 0;
}

}  // namespace
}  // namespace berth::conmon

int main(int argc, char** argv) {
  return berth::conmon::Main({argv, static_cast<size_t>(argc) + 1});
}
