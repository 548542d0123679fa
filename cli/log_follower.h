// Reading a container's log file while it is written and rotated.
#pragma once

#include <functional>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"
#include "cli/log_record.h"

namespace berth::cli {

// Whether the container has ended. The daemon says so only once all output is in the file, so what is read after a
// "yes" is all there is.
using HasEnded = std::function<base::Result<bool>()>;
using EmitRecord = std::function<void(const LogRecord&)>;

// What the file holds now. A missing file is an empty log. Lines that are no records are left out.
base::Status ReadLog(const base::Path& path, const EmitRecord& emit);

// The same, and then what is appended, until `has_ended` says yes or the context ends. A file that is renamed and made
// anew is read to its end first, then the new one; one that is cut is read from its beginning. Nothing is polled while
// the container runs: its monitor closes the file when it ends, which makes us ask.
base::Status FollowLog(const base::Path& path, const HasEnded& has_ended, const EmitRecord& emit,
                       const base::Context& context);

}  // namespace berth::cli
