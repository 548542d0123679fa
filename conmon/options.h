// The monitor's command line: --key=value options, then "--", then the OCI runtime's create command.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace berth::conmon {

// Descriptors that berthd gives to a monitor.
inline constexpr int kSyncFd = 3;    // write end of the sync pipe
inline constexpr int kListenFd = 4;  // listening control socket
inline constexpr int kExitFd = 5;    // exit file, preallocated

// An argument of the create command that is exactly this text is replaced by the path of the console socket.
inline constexpr const char* kConsoleSocketPlaceholder = "@console-socket@";

inline constexpr size_t kJoinLimit = 16;
inline constexpr uint32_t kLogLimitMax = 32768;

// Pointers refer to argv. Null means not given.
struct MonitorOptions {
  const char* id = nullptr;                    // --id, required; names the process, nothing else
  const char* pid_file = nullptr;              // --pid-file, required: what the runtime's create writes
  const char* run_folder = nullptr;            // --run-folder, required: where the console socket is made for a moment
  const char* runtime_log = nullptr;           // --runtime-log: read when create fails
  const char* log = nullptr;                   // --log: without it output is read and discarded
  const char* cgroup_root = "/sys/fs/cgroup";  // --cgroup-root
  const char* join[kJoinLimit] = {};           // --join, repeated: cgroup v1 folders to enter
  size_t joins = 0;
  uint32_t log_limit = 16384;   // --log-limit: bytes of content in a record, 1 to kLogLimitMax
  uint32_t partial_ms = 250;    // --partial-ms: age at which an unfinished line is written, 1 to 60,000
  uint32_t drain_ms = 2000;     // --drain-ms: output still read after the end while others hold it, 0 to 600,000
  uint32_t create_ms = 120000;  // --create-ms: time limit of create, 1 to 3,600,000
  bool terminal = false;        // --terminal=yes|no
  bool stdin_open = false;      // --stdin=no|open|once
  bool stdin_once = false;
  char** runtime = nullptr;  // after "--"; its first is an absolute path; null-terminated
};

// Strict: unknown, repeated (but --join), empty and out-of-range options are errors. Returns null for success, else
// what is wrong, a constant text. `argv` is null-terminated and includes the program's name.
const char* ParseOptions(std::span<char*> argv, MonitorOptions& out);

}  // namespace berth::conmon
