// Which file of the configuration folder is the pod network.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "network/config_list.h"

namespace berth::network {

struct SkippedFile {
  base::Path file;
  std::string reason;
};

// An outcome of reading the folder; immutable once made.
struct LoadedConfig {
  std::optional<ConfigList> list;  // absent: not ready, and `reason` says why
  base::Path file;                 // that it came from
  std::string reason;
  std::vector<SkippedFile> skipped;  // files before or beside it that could not be used, in order
};

// Files ending in .conf, .conflist or .json, sorted bytewise by name; the first valid one is taken, or with
// `default_network` the first valid one whose name equals it. Never fails: what went wrong is in `reason` and
// `skipped`. At most 256 files are looked at. Reads files, so it blocks on their file system.
LoadedConfig LoadConfigFolder(const base::Path& folder, const std::string& default_network);

}  // namespace berth::network
