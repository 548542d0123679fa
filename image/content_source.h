// Where a pull gets content from: a registry, or an archive on disk.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/context.h"
#include "base/result.h"
#include "image/digest.h"
#include "image/manifest.h"

namespace berth::image {

// A top document or one that it names, verified against its digest.
struct Resolved {
  Digest digest;
  std::string media_type;
  std::string body;  // empty when it was said that it need not be fetched
};

using BlobSink = std::function<base::Status(std::span<const uint8_t>)>;

// Thread-safe.
class ContentSource {
 public:
  virtual ~ContentSource() = default;

  // A manifest or index by digest: verified, at most kMaxManifestBytes.
  virtual base::Result<Resolved> FetchManifest(const Descriptor& descriptor, const base::Context& context) = 0;

  // A small blob (a config) whole: verified, at most `limit` bytes.
  virtual base::Result<std::string> FetchSmall(const Descriptor& descriptor, size_t limit,
                                               const base::Context& context) = 0;

  // Streams a blob. The sink sees each byte once and in order, and on this thread. Success means that size and digest
  // were right; until then the sink's bytes are not to be believed. kUnknown: they were wrong; TryAgain() says whether
  // another start can come out differently.
  virtual base::Status FetchBlob(const Descriptor& descriptor, const BlobSink& sink, const base::Context& context) = 0;
  virtual bool TryAgain() const = 0;
};

}  // namespace berth::image
