// Indexes, manifests and image configurations: read from JSON that others wrote, within limits.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "image/digest.h"
#include "image/platform.h"

namespace berth::image {

inline constexpr size_t kMaxManifestBytes = 4 << 20;
inline constexpr size_t kMaxConfigBytes = 8 << 20;
inline constexpr size_t kMaxLayers = 500;  // overlayfs takes no more lower folders
inline constexpr size_t kMaxIndexEntries = 1000;
inline constexpr int kMaxIndexDepth = 4;

// OCI image specification, descriptor.md.
struct Descriptor {
  std::string media_type;
  Digest digest;
  int64_t size = 0;  // bytes, never negative
  std::vector<std::string> urls;
  std::map<std::string, std::string> annotations;
  std::optional<Platform> platform;
  std::string artifact_type;
  std::string data;  // the content itself, decoded; only when it has the descriptor's size and digest
};

struct Index {
  std::vector<Descriptor> manifests;
};

struct Manifest {
  Descriptor config;
  std::vector<Descriptor> layers;  // lowest first
  std::string artifact_type;
  std::map<std::string, std::string> annotations;

  int64_t LayerBytes() const;  // sum of the layers' sizes as transferred
};

using Document = std::variant<Index, Manifest>;

// `content_type` is what the registry said, possibly nothing. kInvalidArgument for what is malformed, too large, of two
// kinds at once, of another kind than it says, or not a container image; kUnimplemented for schema 1 and encrypted
// layers.
base::Result<Document> ParseDocument(std::string_view body, std::string_view content_type);

// The media type under which ParseDocument read `body`: the registry's if it says something, else the document's own.
std::string DocumentMediaType(std::string_view body, std::string_view content_type);

// OCI image specification, config.md. Absent members are empty.
struct ImageConfig {
  Platform platform;    // normalised
  std::string created;  // RFC 3339 as given
  std::string author;
  std::string user;
  std::vector<std::string> env;  // KEY=VALUE
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::vector<std::string> volumes;        // paths, sorted
  std::vector<std::string> exposed_ports;  // "80/tcp", sorted
  std::string working_dir;
  std::map<std::string, std::string> labels;
  std::string stop_signal;
  std::vector<Digest> diff_ids;  // lowest first
};
base::Result<ImageConfig> ParseImageConfig(std::string_view body);

// Chain ids of the layers, lowest first.
std::vector<Digest> ChainIds(const std::vector<Digest>& diff_ids);

}  // namespace berth::image
