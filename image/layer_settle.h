// What a layer's archive left to the layers below, done before the layer becomes visible.
#pragma once

#include <string>
#include <vector>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"
#include "image/layer_unpacker.h"

namespace berth::image {

// Makes `diff` what it would be had the archive been unpacked onto the mounted lower layers:
//   - implied folders get the lower folder's metadata; where the lower layers have a symbolic link to a folder, its
//   content moves to
//     where the link leads, so that the link is not hidden;
//   - hard links into lower layers copy the target up and link to the copy, as overlayfs does for link(2).
// `lower` are the diff folders below, top first. Nobody else may touch `diff`. Adds what it makes to the layer's
// figures. kInvalidArgument for a link whose target is nowhere.
base::Status SettleLayer(UnpackedLayer& layer, const std::vector<base::Path>& lower, const base::Context& context);

}  // namespace berth::image
