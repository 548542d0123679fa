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
  bool repair = false;    // take away what is broken, and nothing else
};

struct CheckReport {
  size_t images = 0;
  size_t layers = 0;
  size_t unverifiable =
      0;  // layers whose contents cannot be compared: from before this was noted, or with sparse or replaced files
  std::vector<StoreProblem> problems;  // and what a repair did about each
  std::vector<std::string> removed;    // ids of images that had a broken layer: to be pulled again
};

// Every image's record, every layer and copy of a layer, and what else lies there. The store may be in use meanwhile;
// layers being checked stay. What a repair takes away is made anew by the next pull, or the next container with such
// owners; containers that run keep what is left of it until they are removed. Slow with `contents`: ends with the
// context.
base::Result<CheckReport> CheckStore(Store& store, const CheckOptions& options, const base::Context& context);

}  // namespace berth::image
