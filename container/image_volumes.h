// Mounts whose content is an image: its merged root file system, read-only.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "container/pod.h"
#include "cri-proto/cri.h"
#include "image/store.h"
#include "state/ledger.h"

namespace berth::container {

struct ImageVolumes {
  std::vector<base::Path> sources;     // by index of the request's mounts: what is bound there; empty for other mounts
  std::vector<std::string> image_ids;  // in the order of the mounts that have an image
  std::vector<image::Digest> chain_ids;  // of all these images
};

// Mounts each image below `folder`, its intent written into the ledger first. The images are found in the store and
// kept for `user` as far as nobody else keeps them: the caller refers to chain_ids before it calls ReleaseVolumeImages.
// Errors begin with "ImageVolumeMountFailed: ", which the kubelet knows. `label`: SELinux's, of all that they show; may
// be empty.
base::Result<ImageVolumes> MountImageVolumes(const cri::ContainerConfig& config, image::Store& images, const Pod& pod,
                                             const std::string& label, const std::string& user,
                                             const base::Path& folder, state::Ledger& ledger,
                                             const base::Context& context);
void ReleaseVolumeImages(const cri::ContainerConfig& config, image::Store& images, const std::string& user);

}  // namespace berth::container
