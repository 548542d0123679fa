// A blob on its way, over as many connections and endpoints as it takes.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "image/digest.h"
#include "image/http.h"
#include "image/manifest.h"
#include "image/registry.h"

namespace berth::image {

// Counts and hashes what the sink is given. Borrows both arguments. Used by one thread.
class Transfer {
 public:
  Transfer(const Descriptor& descriptor, const BlobSink& sink)
      : descriptor_(descriptor), sink_(sink), hash_(descriptor.digest.algorithm()) {}

  const Descriptor& descriptor() const { return descriptor_; }
  int64_t done() const { return done_; }  // bytes that the sink has seen
  bool complete() const { return done_ == descriptor_.size; }
  // Nothing can come of it any more: the sink refused, or saw what is not the blob.
  bool lost() const { return sink_failed_ || spoiled_; }
  bool sink_failed() const { return sink_failed_; }

  // The blob's next bytes. kUnknown when there are more than its descriptor says.
  base::Status Take(std::span<const uint8_t> bytes);
  // After the last byte. kUnknown when they are not the blob.
  base::Status Verify();

 private:
  const Descriptor& descriptor_;
  const BlobSink& sink_;
  Hasher hash_;
  int64_t done_ = 0;
  bool sink_failed_ = false;
  bool spoiled_ = false;
};

// One request for what is missing of a transfer; lives until the request is over.
class BlobRequest {
 public:
  // Without `use_range` it asks for the whole and leaves out what the sink has seen.
  BlobRequest(Transfer& transfer, std::string url, bool use_range);
  BlobRequest(const BlobRequest&) = delete;
  BlobRequest& operator=(const BlobRequest&) = delete;

  const HttpRequest& request() const { return request_; }
  bool range_refused() const { return range_refused_; }  // a range was answered with another

 private:
  base::Status Begin(const HttpResponse& response);
  base::Status Take(std::span<const uint8_t> bytes);

  Transfer& transfer_;
  HttpRequest request_;
  bool asked_range_ = false;
  bool range_refused_ = false;
  int64_t skip_ = 0;  // bytes that come again
};

}  // namespace berth::image
