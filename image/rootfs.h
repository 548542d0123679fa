// An image as the lower folders of a container's overlay.
#pragma once

#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "image/store.h"

namespace berth::image {

// The folders for overlayfs' lowerdir, top first, never none: an image without layers has one empty folder. kNotFound when a
// layer is missing. `seen`: where the store's folder is mounted once more, with other owners; empty: the store's own. Ends at a layer whose root hides what is below: overlayfs does not look at its root's opaque mark.
base::Result<std::vector<base::Path>> LowerDirs(const Store& store, const Image& image, const base::Path& seen = {});

// Gives the upper folder of an overlay the owner, mode and extended attributes of its topmost lower one: the merged
// root shows the upper's.
base::Status PrepareUpper(const base::Path& upper, const base::Path& top_lower);

}  // namespace berth::image
