// The monitor's first task: running the OCI runtime's create command, so that the container's first process becomes the
// monitor's child (it is the subreaper) with the monitor's pipes, or a terminal, as its standard streams.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/time.h"
#include "base/unique_fd.h"
#include "conmon/options.h"
#include "conmon/protocol.h"

namespace berth::conmon {

class Creation {
 public:
  // `signals` is a signalfd for SIGCHLD, `sync` the pipe whose reader's disappearance aborts the creation.
  Creation(const MonitorOptions& options, int signals, int sync) : options_(options), signals_(signals), sync_(sync) {}

  // Blocks, up to create_ms and some seconds of killing. Fills `message`; true when the container exists. On failure
  // nothing that create started runs any more.
  bool Run(SyncMessage& message);
  // Kills whatever came to us as a child, and what that leaves behind, for a bounded time.
  void Abandon();

  // After success. Non-blocking; with a terminal `out` is its master and `err` invalid.
  base::UniqueFd out;
  base::UniqueFd err;
  base::UniqueFd in;  // invalid when stdin is not kept
  pid_t pid = -1;

 private:
  bool MakeStreams(SyncMessage& message);
  bool MakeConsole(SyncMessage& message);
  bool Spawn(SyncMessage& message);
  // Waits for the runtime's end, taking the terminal's master when it is sent.
  bool Await(SyncMessage& message);
  // One wait for whatever comes first; false when the creation must not go on.
  bool AwaitEvent(SyncMessage& message, base::TimePoint until);
  bool Adopt(SyncMessage& message);
  void ReceiveMaster();
  void AddRuntimeText(SyncMessage& message);

  const MonitorOptions& options_;
  int signals_;
  int sync_;
  base::UniqueFd child_in_, child_out_, child_err_;
  base::UniqueFd run_folder_;
  base::UniqueFd console_listener_, console_;
  pid_t runtime_ = -1;
  bool runtime_reaped_ = false;
};

// Clock ticks after boot at which `pid` started; 0 when there is no such process.
uint64_t StartTimeOf(pid_t pid);

// Says in `message` why there is no container: "<what>: <errno's text>", or `what` alone for 0.
void Explain(SyncMessage& message, const char* what, int error);

}  // namespace berth::conmon
