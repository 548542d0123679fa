#include "base/child.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/guarded.h"
#include "base/strings.h"
#include "base/stuck_children.h"

namespace berth::base {
namespace {

// How long a killed child may take to be gone before it is written off.
constexpr std::chrono::seconds kDeath{1};

struct Stuck {
  pid_t pid;
  UniqueFd pidfd;
};
// Children belong to the process as a whole, whoever started them: so does this list. Never destroyed, because threads
// may still start children while the process ends.
Guarded<std::vector<Stuck>>& WrittenOff() {
  static auto* const list = new Guarded<std::vector<Stuck>>;
  return *list;
}

ExitStatus FromSiginfo(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) return {.code = info.si_status};
  return {.code = 128 + info.si_status, .signal = info.si_status};
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (const std::string& text : strings) out.push_back(const_cast<char*>(text.c_str()));  // NOLINT: execve's type
  out.push_back(nullptr);
  return out;
}

// What the child's descriptors are made of: sources that no target number can clobber, in target order.
struct FdPlan {
  std::vector<std::pair<int, int>> moves;  // (source, target)
  std::vector<UniqueFd> kept;
  std::vector<int> gaps;  // below close_from and not named: closed, should whoever started us have left something there
  int close_from = 3;
};

// The null device through a mount of its own, which is read-only: runtimes give their standard streams to the
// container's user (crun does), and the host's device is not to be given away. Data goes in and out as ever. Invalid
// where we may not mount.
UniqueFd OpenNullToKeep() {
  const UniqueFd tree(open_tree(AT_FDCWD, "/dev/null", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  if (!tree || mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) return {};
  return Open(Cat("/proc/self/fd/", tree.get()), O_RDWR).value_or(UniqueFd());
}

Result<UniqueFd> NullDevice() {
  static const UniqueFd kept = OpenNullToKeep();  // once: the kernel waits for all processors when such a mount goes
  if (!kept) return Open("/dev/null", O_RDWR);
  UniqueFd copy(fcntl(kept.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) return FailErrno(errno, "duplicate the null device");
  return copy;
}

Result<FdPlan> PlanFds(const SpawnOptions& options) {
  FdPlan plan;
  for (const auto& [source, target] : options.fds) plan.close_from = std::max(plan.close_from, target + 1);
  std::vector<bool> named(static_cast<size_t>(plan.close_from), false);
  const auto add = [&](int source, int target) -> Status {
    // A source at or above close_from can neither be overwritten by a target nor equal one.
    UniqueFd copy(fcntl(source, F_DUPFD_CLOEXEC, plan.close_from));
    if (!copy) return FailErrno(errno, "duplicate descriptor ", source);
    plan.moves.emplace_back(copy.get(), target);
    plan.kept.push_back(std::move(copy));
    named[static_cast<size_t>(target)] = true;
    return {};
  };
  for (const auto& [source, target] : options.fds) RETURN_IF_ERROR(add(source, target));
  if (!named[0] || !named[1] || !named[2]) {
    ASSIGN_OR_RETURN(const UniqueFd null, NullDevice());
    for (int target = 0; target < 3; ++target) {
      if (!named[static_cast<size_t>(target)]) RETURN_IF_ERROR(add(null.get(), target));
    }
  }
  for (int fd = 3; fd < plan.close_from; ++fd) {
    if (!named[static_cast<size_t>(fd)]) plan.gaps.push_back(fd);
  }
  return plan;
}

// Everything here runs between clone and exec in a copy of a threaded process: async-signal-safe calls only.
[[noreturn]] void ExecInClone(const SpawnOptions& options, const FdPlan& plan, char* const* argv, char* const* envp,
                              int report) {
  // The bare call: glibc's sigaction refuses its own two signals, 32 and 33, which whoever started us may have ignored.
  // The kernel's struct of zeros is SIG_DFL without flags.
  constexpr size_t kKernelSetBytes = 8;
  constexpr std::array<unsigned long, 4> kDefault{};
  for (int signal = 1; signal < NSIG; ++signal)
    syscall(SYS_rt_sigaction, signal, kDefault.data(), nullptr, kKernelSetBytes);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (options.new_session)
    setsid();
  else if (options.new_group)
    setpgid(0, 0);
  bool ok = true;
  for (const auto& [source, target] : plan.moves) ok = ok && dup2(source, target) >= 0;
  for (const int fd : plan.gaps) close(fd);
  // All of ours are close-on-exec; a library's need not be. Kernels before 5.11 know no such flag, and then nothing is
  // lost.
  syscall(SYS_close_range, static_cast<unsigned>(plan.close_from), ~0U, CLOSE_RANGE_CLOEXEC);
  if (ok) execve(options.program.c_str(), argv, envp);
  const int err = errno;
  (void)!write(report, &err, sizeof err);
  _exit(127);
}

Result<Child> SpawnInCgroup(const SpawnOptions& options, const FdPlan& plan, char* const* argv, char* const* envp) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return FailErrno(errno, "pipe");
  UniqueFd reader(ends[0]);
  UniqueFd low(ends[1]);
  UniqueFd writer(fcntl(low.get(), F_DUPFD_CLOEXEC, plan.close_from));
  if (!writer) return FailErrno(errno, "duplicate descriptor");
  low.Reset();
  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_INTO_CGROUP | CLONE_PIDFD;
  args.exit_signal = SIGCHLD;
  args.cgroup = static_cast<uint64_t>(options.cgroup);
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  const long pid = syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0) return FailErrno(errno, "clone into cgroup for ", options.program.native());
  if (pid == 0) ExecInClone(options, plan, argv, envp, writer.get());
  writer.Reset();
  Child child(static_cast<pid_t>(pid), UniqueFd(pidfd), options.new_session || options.new_group);
  int err = 0;
  ssize_t got = 0;
  do got = read(reader.get(), &err, sizeof err);
  while (got < 0 && errno == EINTR);
  if (got == 0) return child;
  return FailErrno(err, "start ", options.program.native());  // ~Child reaps
}

Result<Child> SpawnPlain(const SpawnOptions& options, const FdPlan& plan, char* const* argv, char* const* envp) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  for (const auto& [source, target] : plan.moves) posix_spawn_file_actions_adddup2(&actions, source, target);
  for (const int fd : plan.gaps) posix_spawn_file_actions_addclose(&actions, fd);
  posix_spawn_file_actions_addclosefrom_np(&actions, plan.close_from);
  sigset_t all;
  sigset_t none;
  // Every bit, where sigfillset leaves out glibc's own signals 32 and 33: posix_spawn ignores in the child what is not
  // named.
  memset(&all, 0xff, sizeof all);
  sigemptyset(&none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setsigmask(&attributes, &none);
  short flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
  if (options.new_session)
    flags |= POSIX_SPAWN_SETSID;
  else if (options.new_group)
    flags |= POSIX_SPAWN_SETPGROUP;
  posix_spawnattr_setflags(&attributes, flags);
  pid_t pid = -1;
  const int err = posix_spawn(&pid, options.program.c_str(), &actions, &attributes, argv, envp);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (err != 0) return FailErrno(err, "start ", options.program.native());
  // The pid cannot be reused before we reap it, so opening the pidfd afterwards is safe.
  auto pidfd = OpenPidfd(pid);
  if (!pidfd) {
    kill(pid, SIGKILL);
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return tl::make_unexpected(std::move(pidfd).error());
  }
  return Child(pid, *std::move(pidfd), options.new_session || options.new_group);
}

}  // namespace

std::string ExitStatus::Text() const {
  return signal != 0 ? Cat("signal ", signal) : Cat("exit code ", code);
}

Child& Child::operator=(Child&& other) noexcept {
  if (this != &other) {
    Child old(std::move(*this));
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::move(other.pidfd_);
    own_group_ = other.own_group_;
  }
  return *this;
}

Child::~Child() {
  if (pid_ <= 0) return;
  KillGroup();
  if (Wait(Context().WithTimeout(kDeath), "child")) return;
  // It waits in the kernel for something that may never come (a dead file server); its owner shall not.
  WrittenOff().With([this](std::vector<Stuck>& list) { list.push_back({.pid = pid_, .pidfd = std::move(pidfd_)}); });
}

Result<ExitStatus> Child::Wait(const Context& context, std::string_view what) {
  ASSIGN_OR_RETURN(const bool ended, context.Wait(pidfd_.get(), POLLIN, what));
  (void)ended;  // without `until`, Wait returns only true or an error
  siginfo_t info{};
  while (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) < 0) {
    if (errno != EINTR) return FailErrno(errno, "wait for ", what);
  }
  pid_ = -1;
  return FromSiginfo(info);
}

void Child::KillGroup() const {
  if (pid_ <= 0) return;
  if (own_group_) kill(-pid_, SIGKILL);
  kill(pid_, SIGKILL);
}

Status Child::Signal(int signal) const {
  return SignalPidfd(pidfd_.get(), signal);
}

UniqueFd Child::Release() {
  pid_ = -1;
  return std::move(pidfd_);
}

size_t WrittenOffChildren() {
  return WrittenOff().With([](std::vector<Stuck>& list) {
    std::erase_if(list, [](const Stuck& one) {
      siginfo_t info{};
      return waitid(P_PID, static_cast<id_t>(one.pid), &info, WEXITED | WNOHANG) != 0 || info.si_pid != 0;
    });
    return list.size();
  });
}

Result<Child> Spawn(const SpawnOptions& options) {
  (void)WrittenOffChildren();  // those that have ended since leave no zombie for longer than until the next is started
  ASSIGN_OR_RETURN(const FdPlan plan, PlanFds(options));
  const std::vector<char*> argv = Pointers(options.arguments);
  const std::vector<char*> envp = Pointers(options.environment);
  return options.cgroup >= 0 ? SpawnInCgroup(options, plan, argv.data(), envp.data())
                             : SpawnPlain(options, plan, argv.data(), envp.data());
}

Result<Pipe> MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return FailErrno(errno, "pipe");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

namespace {

// Reads once, keeps what there is room for; closes the descriptor at EOF or error.
void ReadOnce(UniqueFd& fd, std::string& out, size_t room, bool& cut) {
  std::array<char, 16384> buffer;
  const ssize_t got = read(fd.get(), buffer.data(), buffer.size());
  if (got > 0) {
    const size_t size = static_cast<size_t>(got);
    cut = cut || size > room;
    out.append(buffer.data(), std::min(size, room));
  } else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
    fd.Reset();
  }
}

void WriteOnce(const UniqueFd& fd, std::string_view& input) {
  // SIGPIPE is ignored in all our programs: a child that does not read its input gives EPIPE here.
  const ssize_t wrote = write(fd.get(), input.data(), input.size());
  if (wrote > 0)
    input.remove_prefix(static_cast<size_t>(wrote));
  else if (wrote < 0 && errno != EINTR && errno != EAGAIN)
    input = {};
}

}  // namespace

Result<Collected> Collect(Child& child, UniqueFd input, UniqueFd output, UniqueFd errors, const CollectOptions& options,
                          const Context& context, std::string_view what) {
  for (const int fd : {input.get(), output.get(), errors.get()}) {
    if (fd >= 0) fcntl(fd, F_SETFL, O_NONBLOCK);
  }
  Collected result;
  const auto room = [&](const std::string& kept) {
    const size_t total = result.output.size() + result.errors.size();
    return std::min(options.each_limit - std::min(options.each_limit, kept.size()),
                    options.total_limit - std::min(options.total_limit, total));
  };
  std::string_view left = options.input;
  bool errors_cut = false;
  bool ended = false;
  TimePoint drain_until = TimePoint::max();
  while (!ended || ((output || errors) && Monotonic::now() < drain_until)) {
    if (left.empty()) input.Reset();
    pollfd fds[5] = {{ended ? -1 : child.pidfd(), POLLIN, 0},
                     {ended ? -1 : context.fd(), POLLIN, 0},
                     {input.get(), POLLOUT, 0},
                     {output.get(), POLLIN, 0},
                     {errors.get(), POLLIN, 0}};
    const TimePoint until = ended ? drain_until : context.deadline();
    if (poll(fds, 5, PollTimeout(until)) < 0 && errno != EINTR) return FailErrno(errno, "poll");
    if (!ended) RETURN_IF_ERROR(context.Check(what));
    if (fds[3].revents != 0) ReadOnce(output, result.output, room(result.output), result.output_cut);
    if (fds[4].revents != 0) ReadOnce(errors, result.errors, room(result.errors), errors_cut);
    if (fds[2].revents != 0) WriteOnce(input, left);
    if (fds[0].revents != 0 && !ended) {
      ASSIGN_OR_RETURN(result.exit, child.Wait(context, what));
      ended = true;
      drain_until = Monotonic::now() + options.drain;
    }
  }
  return result;
}

Result<RunResult> Run(RunOptions options, const Context& context) {
  const std::string what = options.spawn.program.filename().native();
  RETURN_IF_ERROR(context.Check(what));
  ASSIGN_OR_RETURN(Pipe in, MakePipe());
  ASSIGN_OR_RETURN(Pipe out, MakePipe());
  ASSIGN_OR_RETURN(Pipe err, MakePipe());
  options.spawn.fds.insert(options.spawn.fds.end(), {{in.read.get(), 0}, {out.write.get(), 1}, {err.write.get(), 2}});
  ASSIGN_OR_RETURN(Child child, Spawn(options.spawn));  // ~Child kills the group and reaps
  in.read.Reset();
  out.write.Reset();
  err.write.Reset();
  return Collect(child, std::move(in.write), std::move(out.read), std::move(err.read),
                 {.input = std::move(options.input), .each_limit = options.output_limit, .drain = options.drain},
                 context, what);
}

namespace {

constexpr size_t kMaxTree = 10'000;

// Any thread can have children of its own.
void AddChildren(pid_t parent, std::vector<pid_t>& out) {
  const Path tasks = Cat("/proc/", parent, "/task");
  const auto threads = ListFolder(tasks);
  if (!threads) return;
  for (const std::string& thread : *threads) {
    const auto text = ReadFile(tasks / thread / "children", 1 << 20);
    if (!text) continue;
    for (const std::string_view word : Split(Trim(*text), ' ')) {
      const auto pid = ParseInt(word);
      if (pid && out.size() < kMaxTree) out.push_back(static_cast<pid_t>(*pid));
    }
  }
}

}  // namespace

// Not recursive: a container chooses how deep its processes stand, and a thread's stack is small.
void KillDescendants(pid_t root) {
  std::vector<pid_t> tree{root};
  std::vector<UniqueFd> found;  // not numbers: a pid can be used anew between looking and killing
  for (size_t i = 0; i < tree.size(); ++i) {
    if (i > 0) {
      if (auto fd = OpenPidfd(tree[i])) found.push_back(*std::move(fd));
    }
    AddChildren(tree[i], tree);
  }
  for (const UniqueFd& process : found) (void)SignalPidfd(process.get(), SIGKILL);
}

Result<uint64_t> ProcessStartTime(pid_t pid) {
  ASSIGN_OR_RETURN(const std::string stat, ReadFile(Cat("/proc/", pid, "/stat"), 4096));
  // The second field is the command in parentheses and may itself hold blanks and parentheses.
  const size_t end = stat.rfind(')');
  if (end == std::string::npos) return Fail(Code::kInternal, "/proc/", pid, "/stat: unexpected form");
  const auto fields = Split(std::string_view(stat).substr(end + 1), ' ');  // [0] is empty, [1] is field 3
  const auto ticks = fields.size() > 20 ? ParseInt(fields[20]) : std::nullopt;
  if (!ticks) return Fail(Code::kInternal, "/proc/", pid, "/stat: unexpected form");
  return static_cast<uint64_t>(*ticks);
}

Result<UniqueFd> OpenProcess(pid_t pid, uint64_t start_time) {
  ASSIGN_OR_RETURN(UniqueFd pidfd, OpenPidfd(pid));
  const auto found = ProcessStartTime(pid);
  // Checked after the pidfd was taken: if it is the right process now, the pidfd is for it.
  if (!found || *found != start_time) return FailErrno(ESRCH, "process ", pid);
  return pidfd;
}

Result<UniqueFd> OpenPidfd(pid_t pid) {
  const long fd = syscall(SYS_pidfd_open, pid, 0);
  if (fd < 0) return FailErrno(errno, "process ", pid);
  return UniqueFd(static_cast<int>(fd));
}

Status SignalPidfd(int pidfd, int signal) {
  if (syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0 || errno == ESRCH) return {};
  return FailErrno(errno, "signal ", signal);
}

}  // namespace berth::base
