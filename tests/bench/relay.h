// The least that any server of streams does: bytes between a process's pipe and a TCP connection, in frames.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"

namespace berth::bench {

// A relay on a thread of its own, and on the caller's the client at the other end of the connection: `total` bytes out
// of the pipe, or into it.
base::Status ThroughRelay(base::UniqueFd pipe, bool out, size_t total);

}  // namespace berth::bench
