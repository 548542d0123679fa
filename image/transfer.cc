#include "image/transfer.h"

#include <algorithm>
#include <optional>

#include "base/strings.h"

namespace berth::image {
namespace {

using base::Code;

struct ByteRange {
  int64_t first = 0;
  std::optional<int64_t> total;
};
// "bytes 100-199/200" or "bytes 100-199/*".
std::optional<ByteRange> ParseContentRange(std::string_view text) {
  if (!base::Lower(text).starts_with("bytes ")) return std::nullopt;
  text.remove_prefix(6);
  const size_t dash = text.find('-');
  const size_t slash = text.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || dash > slash) return std::nullopt;
  const auto first = base::ParseInt(base::Trim(text.substr(0, dash)));
  if (!first) return std::nullopt;
  return ByteRange{*first, base::ParseInt(base::Trim(text.substr(slash + 1)))};
}

}  // namespace

base::Status Transfer::Take(std::span<const uint8_t> bytes) {
  if (static_cast<int64_t>(bytes.size()) > descriptor_.size - done_) {
    spoiled_ = true;
    return base::Fail(Code::kUnknown, "blob ", descriptor_.digest.str(), ": longer than the ", descriptor_.size,
                      " bytes that the manifest says");
  }
  hash_.Update(bytes);
  done_ += static_cast<int64_t>(bytes.size());
  base::Status taken = sink_(bytes);
  sink_failed_ = !taken;
  return taken;
}

base::Status Transfer::Verify() {
  const Digest found = hash_.Finish();
  if (found == descriptor_.digest) return {};
  spoiled_ = true;
  return base::Fail(Code::kUnknown, "blob ", descriptor_.digest.str(), ": what was served has digest ", found.str());
}

BlobRequest::BlobRequest(Transfer& transfer, std::string url, bool use_range) : transfer_(transfer) {
  request_.url = std::move(url);
  const std::string& type = transfer.descriptor().media_type;
  request_.headers.emplace_back("Accept", type.empty() ? "*/*" : base::Cat(type, ", */*"));
  asked_range_ = use_range && transfer.done() > 0;
  if (asked_range_) request_.headers.emplace_back("Range", base::Cat("bytes=", transfer.done(), "-"));
  request_.on_response = [this](const HttpResponse& response) { return Begin(response); };
  request_.sink = [this](std::span<const uint8_t> bytes) { return Take(bytes); };
}

base::Status BlobRequest::Begin(const HttpResponse& response) {
  const Descriptor& descriptor = transfer_.descriptor();
  if (response.status == 206) {
    const auto range = ParseContentRange(response.Header("content-range"));
    const bool right = asked_range_ && range && range->first == transfer_.done() &&
                       (!range->total || *range->total == descriptor.size);
    if (right) return {};
    range_refused_ = true;
    return base::Fail(Code::kUnavailable, "another range was served than was asked for");
  }
  if (response.status != 200) return base::Fail(Code::kUnavailable, "status ", response.status, " is none for a blob");
  const auto length = base::ParseInt(response.Header("content-length"));
  if (length && *length != descriptor.size) {
    return base::Fail(Code::kUnknown, "blob ", descriptor.digest.str(), ": ", *length,
                      " bytes are served, the manifest says ", descriptor.size);
  }
  skip_ = transfer_.done();  // the whole comes: the range was ignored or not asked for
  return {};
}

base::Status BlobRequest::Take(std::span<const uint8_t> bytes) {
  const auto skipped = std::min<int64_t>(skip_, static_cast<int64_t>(bytes.size()));
  skip_ -= skipped;
  bytes = bytes.subspan(static_cast<size_t>(skipped));
  return bytes.empty() ? base::Status() : transfer_.Take(bytes);
}

}  // namespace berth::image
