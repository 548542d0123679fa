// Archives of checkpoints, in the layout that kubelets' other runtimes and checkpointctl share:
//
//   config.dump     of which image, made by what, when          spec.dump       config.json
//   status.dump     the container's status                      bind.mounts     what must be there to be bound
//   checkpoint/     CRIU's images                               rootfs-diff.tar what was changed in the root
//   deleted.files   paths that were removed from the root       dump.log, stats-dump   of CRIU
//
// What is read of them is foreign: every member is bounded, names lead nowhere but into the folder given.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"
#include "image/layer_unpacker.h"

namespace berth::container {

inline constexpr std::string_view kConfigDump = "config.dump";
inline constexpr std::string_view kSpecDump = "spec.dump";
inline constexpr std::string_view kStatusDump = "status.dump";
inline constexpr std::string_view kBindMounts = "bind.mounts";
inline constexpr std::string_view kImagesFolder = "checkpoint";
inline constexpr std::string_view kRootDiff = "rootfs-diff.tar";
inline constexpr std::string_view kDeletedFiles = "deleted.files";
inline constexpr std::string_view kDumpLog = "dump.log";
inline constexpr std::string_view kStatsDump = "stats-dump";

// What a restore must know before it begins.
struct CheckpointFacts {
  std::vector<std::string> images;  // names and ids of the image it was made from, the most exact first; at least one
  bool terminal = false;
  std::vector<std::string> bind_targets;  // CRIU finds these mounts again by their place in the container
  std::vector<std::string> deleted;       // paths
};

// kInvalidArgument for members that are no such documents.
base::Result<CheckpointFacts> ParseCheckpoint(std::string_view config_dump, std::string_view spec_dump,
                                              std::string_view deleted_files);

// Reads the whole archive from its start. kInvalidArgument when it is none of a container's checkpoint.
base::Result<CheckpointFacts> ReadCheckpoint(int archive, const base::Context& context);

// CRIU's images into the folder `images`, which exists and is empty, the root's changes into `diff`.
base::Status UnpackCheckpoint(int archive, const base::Path& images, image::LayerUnpacker& diff,
                              const base::Context& context);

}  // namespace berth::container
