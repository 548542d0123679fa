// Files of layers: copied and flushed.
#pragma once

#include <string>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"

namespace berth::image {

// A regular file's bytes into a new file, which is ours alone for now: holes stay holes, blocks are shared where the
// file system can.
base::Status CopyContent(const std::string& from, const std::string& to, const base::Context& context);

// All that was written to the file system of `path` so far is on its disk.
base::Status FlushFileSystem(const base::Path& path);

}  // namespace berth::image
