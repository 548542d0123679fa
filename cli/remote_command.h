// Exec and attach as a person uses them: our standard streams are the process's.
#pragma once

#include <string>

#include "base/context.h"
#include "base/result.h"

namespace berth::cli {

struct RemoteStreams {
  bool terminal = false;  // one stream of output, raw mode, sizes, detach keys
  bool input = false;
};

// Serves the URL until the other side has ended; the exit code (0 for an attach, and after the detach keys). An error
// when the context ends first.
base::Result<int> RunRemote(const std::string& url, const RemoteStreams& streams, const base::Context& context);

}  // namespace berth::cli
