// What CreateContainer gathers on its way. Used by create.cc and restore.cc alone.
#pragma once

#include <string>
#include <vector>

#include "base/child.h"
#include "base/unique_fd.h"
#include "container/checkpoint_archive.h"
#include "container/containers.h"
#include "container/image_volumes.h"
#include "container/live.h"
#include "container/selinux.h"
#include "image/store.h"
#include "oci/spec.h"

namespace berth::container {

struct Containers::Creation {
  const cri::ContainerConfig& config;
  const Pod& pod;
  Container container{};
  LivePtr live{};
  std::shared_ptr<oci::Runtime> runtime{};
  image::ImagePtr image{};
  User user{};
  oci::Spec spec{};
  Labels labels{};
  base::UniqueFd target{};  // the process whose pid namespace is joined (mode TARGET)
  base::Path target_namespace{};
  base::Child monitor{};
  ImageVolumes volumes{};
  std::vector<base::Path> bound{};  // BindSources
  base::UniqueFd archive{};         // of the checkpoint that it is made from; invalid: of an image alone
  CheckpointFacts checkpoint{};
};

}  // namespace berth::container
