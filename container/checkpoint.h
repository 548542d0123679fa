// Pieces of checkpoint and restore that stand alone.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "container/container.h"

namespace berth::container {

// The archive's config.dump and status.dump.
std::string ConfigDump(const Container& container, int64_t now);
std::string StatusDump(const Container& container);

// The first error in a log of CRIU's, without its place; empty when there is none to be read. What comes later is its
// consequence.
std::string CriuError(const base::Path& log);

// Takes away what is at these paths, walked inside the folder `root`; what is not there is success.
base::Status RemoveDeleted(int root, const std::vector<std::string>& paths);

}  // namespace berth::container
