// An image as the lower folders of a container's overlay.
#pragma once

#include <string>
#include <vector>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"
#include "image/store.h"
#include "kernel/user_namespace.h"

namespace berth::image {

// The folders for overlayfs' lowerdir, top first, never none: an image without layers has one empty folder. kNotFound
// when a layer is missing. `seen`: where the store's folder is mounted once more, with other owners; empty: the store's
// own. Ends at a layer whose root hides what is below: overlayfs does not look at its root's opaque mark.
base::Result<std::vector<base::Path>> LowerDirs(const Store& store, const Image& image, const base::Path& seen = {});

// The same with copies of the layers in which owners are the host's ids for those of `map`: made where they are not
// there, and kept for `user` until Store::Unref. Takes as long as copying does; ends with the context.
base::Result<std::vector<base::Path>> ShiftedLowerDirs(Store& store, const Image& image, const kernel::UserMap& map,
                                                       const std::string& user, const base::Context& context);

// Gives the upper folder of an overlay the owner, mode and extended attributes of its topmost lower one: the merged
// root shows the upper's.
base::Status PrepareUpper(const base::Path& upper, const base::Path& top_lower);

}  // namespace berth::image
