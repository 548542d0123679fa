// What the processes of a group hold, from /proc.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "base/file.h"

namespace berth::stats {

struct ProcessFigures {
  uint64_t processes = 0;
  uint64_t descriptors = 0;
  uint64_t sockets = 0;
};

// Processes that end meanwhile are left out. A bounded number of descriptors is counted, and of those fewer are looked
// at for sockets.
ProcessFigures ReadProcesses(const std::vector<pid_t>& pids, const base::Path& proc = "/proc");

// The soft limit of a process's open files; absent when there is none, or no such process.
std::optional<uint64_t> OpenFilesLimit(pid_t pid);

}  // namespace berth::stats
