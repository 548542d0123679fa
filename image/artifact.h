// OCI artifacts (OCI image specification, manifest.md, "Guidelines for Artifact Usage"), to be mounted as volumes: kept
// as an image of one layer in which each blob is a file. The layer comes of an archive that is made on the way, so that
// all that holds for layers holds for it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/manifest.h"
#include "image/store.h"

namespace berth::image {

bool IsArtifact(const Manifest& manifest);
// Whether the image was made of one: nothing to run.
bool IsArtifact(const Image& image);

// What each blob's file is called, in the manifest's order: its title (annotations.md,
// "org.opencontainers.image.title"), a relative path, else its digest. kInvalidArgument for names that an archive would
// take for something else, or twice the same.
base::Result<std::vector<std::string>> FileNames(const Manifest& manifest);

// What stands in a tar archive before a file's bytes, and after them.
std::string FileHeader(std::string_view name, int64_t size);
std::string FilePadding(int64_t size);
std::string ArchiveEnd();

// An image configuration that no two artifacts share, with the one layer.
std::string ArtifactConfig(const Digest& manifest_digest, const Digest& diff_id, const Platform& platform);

}  // namespace berth::image
