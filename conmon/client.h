// berthd's side of the monitors: starting one, talking to it, reading what it left behind.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/child.h"
#include "base/context.h"
#include "base/file.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "conmon/exit_record.h"
#include "conmon/options.h"
#include "conmon/protocol.h"

namespace berth::conmon {

struct LaunchOptions {
  base::Path monitor;      // the berth-monitor binary
  std::string id;          // container id
  base::Path run_folder;   // the container's folder in the run root; exists
  base::Path socket;       // control socket, made here; any length; what is there is replaced
  base::Path exit_file;    // in the state root; made here with its blocks when missing
  base::Path pid_file;     // what the runtime's create is told to write
  base::Path runtime_log;  // what the runtime was given as --log (with --log-format json); read back when create fails
  base::Path log;          // absolute path of the container's log; empty: output is discarded
  uint32_t log_limit = 16384;
  bool terminal = false;
  bool stdin_open = false;
  bool stdin_once = false;
  std::chrono::milliseconds create_limit{120'000};  // cut to the context's deadline
  std::chrono::milliseconds drain{2'000};           // output still read after the end while descendants hold it
  // The whole create command. The first is an absolute path. With `terminal` it holds kConsoleSocketPlaceholder where
  // the path of the console socket belongs.
  std::vector<std::string> runtime;
  std::vector<std::string> environment;  // of monitor and runtime, KEY=VALUE
  int cgroup = -1;                       // folder descriptor of the v2 cgroup that the monitor is born in
  std::vector<base::Path> join;          // cgroup v1 folders that the monitor enters, at most kJoinLimit
  base::Path cgroup_root = "/sys/fs/cgroup";
  // Moves the monitor where it shall live, for what can only be done to a process that runs. Called once, while the
  // monitor is already at its create. An error ends the monitor, as when create failed; a container that create had
  // finished by then is left.
  std::function<base::Status(pid_t monitor)> place;
};

struct Launched {
  base::Child monitor;  // Release() it once it shall outlive us; reap it while we are its parent
  uint64_t monitor_start_time = 0;
  pid_t pid = -1;  // the container's first process, created and not yet started
  uint64_t start_time = 0;
};

// Blocks until the runtime's create has ended. On failure the socket, the monitor, and what create left running are
// gone; an exit file made here is removed; the message holds the runtime's own error text. kInternal when create
// failed, kDeadlineExceeded or kCancelled when the context or create_limit ended first.
base::Result<Launched> LaunchMonitor(const LaunchOptions& options, const base::Context& context);

// Opens the exit file, making it with kExitFileSize bytes of its own blocks when it is missing or short. Nothing is
// flushed: the record's own flush covers the content, the folder is the caller's. An existing record is kept:
// kAlreadyExists.
base::Result<base::UniqueFd> MakeExitFile(const base::Path& path);

// The record; nothing while there is none: no file, still zero, or torn.
base::Result<std::optional<ExitRecord>> ReadExitRecord(const base::Path& path);

// The text of a runtime's log for people: the last error message of JSON lines, or else the text as it is, trimmed.
std::string RuntimeErrorText(std::string_view log);

// One connection to a monitor. Not thread-safe; connections are cheap, so the event loop keeps one for the exit and
// each call makes its own. Every request waits for the reply within the context; an error kUnavailable means that the
// monitor is gone or too busy to accept.
class MonitorConnection {
 public:
  static base::Result<MonitorConnection> Connect(const base::Path& socket, const base::Context& context);

  int fd() const { return fd_.get(); }  // readable when Poll has something to say
  const Reply& hello() const { return hello_; }

  base::Result<Reply> GetStatus(const base::Context& context);
  base::Status ReopenLog(const base::Context& context);
  base::Status Resize(uint32_t columns, uint32_t rows, const base::Context& context);
  // The descriptor speaks the attach frames of protocol.h and is non-blocking. `flags` are AttachFlags.
  base::Result<base::UniqueFd> Attach(uint32_t flags, const base::Context& context);
  base::Status CloseStdin(const base::Context& context);
  base::Status Subscribe(const base::Context& context);
  base::Status Acknowledge(const base::Context& context);

  // The exit notification if it has come; nothing when there is none yet. Never blocks. kUnavailable when the monitor
  // has closed the connection: then the exit file says whether there is a record. `durable` of the reply says whether
  // it is in that file.
  base::Result<std::optional<Reply>> Poll();

 private:
  explicit MonitorConnection(base::UniqueFd fd) : fd_(std::move(fd)) {}
  base::Result<Reply> Call(MessageType type, uint32_t a, uint32_t b, const base::Context& context,
                           base::UniqueFd* passed = nullptr);

  base::UniqueFd fd_;
  Reply hello_;
  uint32_t next_id_ = 1;
  std::optional<Reply> exit_;  // came while another reply was awaited
};

}  // namespace berth::conmon
