// Which image a text means, and which images are pinned.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/store.h"

namespace berth::image {

// As Store::Find.
base::Result<ImagePtr> FindImage(const ImageList& images, std::string_view text, const NameCandidates& candidates = {});

// Whether one of the image's names matches one of the patterns: full names, "*" at either end stands for anything.
bool MatchesPattern(const Image& image, const std::vector<std::string>& patterns);

}  // namespace berth::image
