// Children: started with exactly the descriptors named, watched by pidfd, reaped once by their owner.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace berth::base {

struct ExitStatus {
  int code = 0;              // exit code; 128 + n for death by signal n, as shells and CRI count
  int signal = 0;            // 0 unless a signal ended it
  std::string Text() const;  // "exit code 3", "signal 9"
};

struct SpawnOptions {
  Path program;                          // no PATH search
  std::vector<std::string> arguments;    // argv[0] included
  std::vector<std::string> environment;  // KEY=VALUE; nothing is inherited
  // (ours, the child's number). Everything else is closed in the child. 0, 1 and 2 not named: /dev/null.
  std::vector<std::pair<int, int>> fds;
  bool new_session = false;  // setsid, for what outlives us
  bool new_group = true;     // own process group, so that KillGroup reaches what it started
  int cgroup = -1;           // folder descriptor of a v2 cgroup to be born in (clone3 CLONE_INTO_CGROUP)
};

// Destroying a Child that was not reaped kills its group and reaps it, or writes it off (stuck_children.h) when it will
// not end.
class Child {
 public:
  Child() = default;
  Child(pid_t pid, UniqueFd pidfd, bool own_group) : pid_(pid), pidfd_(std::move(pidfd)), own_group_(own_group) {}
  Child(Child&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)), pidfd_(std::move(other.pidfd_)), own_group_(other.own_group_) {}
  Child& operator=(Child&& other) noexcept;
  ~Child();

  pid_t pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }  // readable once it has ended

  // Waits for its end and reaps it. An error means that the context ended first: the child still runs and is still
  // ours.
  Result<ExitStatus> Wait(const Context& context, std::string_view what);
  // SIGKILL to the process group (the process alone without one). Reaping stays to be done.
  void KillGroup() const;
  Status Signal(int signal) const;
  // Ends our duty to reap; keeps nothing. Returns the pidfd.
  UniqueFd Release();

 private:
  pid_t pid_ = -1;
  UniqueFd pidfd_;
  bool own_group_ = false;
};

Result<Child> Spawn(const SpawnOptions& options);

struct CollectOptions {
  std::string input;              // given on stdin, then EOF
  size_t each_limit = 1 << 20;    // bytes kept of stdout, the same of stderr; the rest is read and dropped
  size_t total_limit = SIZE_MAX;  // bytes kept of both together
  // How long output is still read after the child's end while others hold its pipes.
  std::chrono::milliseconds drain{100};
};
struct Collected {
  ExitStatus exit;
  std::string output;
  std::string errors;
  bool output_cut = false;
};
struct Pipe {
  UniqueFd read;
  UniqueFd write;
};
Result<Pipe> MakePipe();

// Feeds and reads a child's standard streams (our ends; input may be absent) until it has ended, and reaps it. When the
// context ends first its error is returned and the child still runs and is still the caller's.
Result<Collected> Collect(Child& child, UniqueFd input, UniqueFd output, UniqueFd errors, const CollectOptions& options,
                          const Context& context, std::string_view what);

struct RunOptions {
  SpawnOptions spawn;  // fds 0, 1 and 2 are set by Run
  std::string input;
  size_t output_limit = 1 << 20;  // CollectOptions::each_limit
  std::chrono::milliseconds drain{100};
};
using RunResult = Collected;
// Runs a child to its end. When the context ends first, its process group is killed and the context's error returned.
Result<RunResult> Run(RunOptions options, const Context& context);

// SIGKILL to a process's descendants, as far as /proc tells parents and children: what a descendant started in the
// background and left to init is not found. The process itself goes on and can reap its own.
void KillDescendants(pid_t root);

// Clock ticks after boot at which a process was started (/proc/PID/stat, field 22): with it a pid read from disk can be
// trusted. Error with err ENOENT or ESRCH when there is no such process.
Result<uint64_t> ProcessStartTime(pid_t pid);
// A pidfd for `pid` if it still is the process that started at `start_time`; err ESRCH otherwise.
Result<UniqueFd> OpenProcess(pid_t pid, uint64_t start_time);
Result<UniqueFd> OpenPidfd(pid_t pid);
Status SignalPidfd(int pidfd, int signal);  // already gone (ESRCH) is success

}  // namespace berth::base
