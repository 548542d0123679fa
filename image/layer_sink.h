// Where a pull's bytes go: into a layer, counted.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "image/content_source.h"
#include "image/layer_unpacker.h"

namespace berth::image {

// Bytes that are no layer may be a lie of who served them: from then on they are taken and dropped, so that the digest,
// which comes last, can tell. Any other failure ends the transfer.
class LayerSink {
 public:
  LayerSink(LayerUnpacker& unpacker, std::atomic<int64_t>& done) : unpacker_(unpacker), done_(done) {}

  BlobSink sink() {
    return [this](std::span<const uint8_t> bytes) { return Take(bytes); };
  }
  base::Status Take(std::span<const uint8_t> bytes) {
    done_ += static_cast<int64_t>(bytes.size());
    if (status_) status_ = unpacker_.Write(bytes);
    return failed() ? status_ : base::Status();
  }
  bool failed() const { return !status_ && status_.error().code != base::Code::kInvalidArgument; }
  const base::Status& status() const { return status_; }

 private:
  LayerUnpacker& unpacker_;
  std::atomic<int64_t>& done_;
  base::Status status_;
};

}  // namespace berth::image
