// The image store's files: what a layer and an image look like on disk.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "image/digest.h"
#include "image/store.h"

namespace berth::image {

// layers/<chain hex>/layer.json
struct LayerRecord {
  Digest chain_id;
  Digest parent;  // empty for a lowest layer
  Digest diff_id;
  uint64_t bytes = 0;
  uint64_t inodes = 0;
  std::optional<uint64_t>
      links;           // hard links: names of files beside their first; absent in records of before this was noted
  bool exact = false;  // `inodes` and `links` are what the folder holds, not only what was made
  std::optional<uint64_t> sum;  // FileSum of the files
};
std::string EncodeLayer(const LayerRecord& record);
base::Result<LayerRecord> DecodeLayer(std::string_view text);

// records/<hex>.json. The sequence rises with each write of any record: of two that claim a tag the later one has it.
struct ImageRecord {
  Image image;
  uint64_t sequence = 0;
};
std::string EncodeImage(const ImageRecord& record);
base::Result<ImageRecord> DecodeImage(std::string_view text);

// Fills in what follows from config_json: id, config, chain_ids.
base::Status DeriveFromConfig(Image& image);

}  // namespace berth::image
