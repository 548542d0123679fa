// Looks whether what the store has on disk still is what it put there.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "image/store.h"

namespace berth::image {

struct CheckOptions {
  bool contents = false;  // read every file, too
  bool repair = false;    // remove images that have a broken layer
};

struct CheckReport {
  size_t images = 0;
  size_t layers = 0;
  size_t unverifiable = 0;  // layers whose contents cannot be compared: from before this was noted, or with sparse or replaced files
  std::vector<StoreProblem> problems;
  std::vector<std::string> removed;  // ids of images
};

// Every image's record and every layer that images use. The store may be in use meanwhile; layers being checked stay. Slow with
// `contents`: ends with the context.
base::Result<CheckReport> CheckStore(Store& store, const CheckOptions& options, const base::Context& context);

}  // namespace berth::image
