// A blob in pieces: nothing but errors may come of bad data, and the limits hold.
#include <array>
#include <cstdint>
#include <cstdlib>

#include "image/decompress.h"

namespace {

constexpr uint64_t kLimit = 1 << 20;

class CountingSink : public berth::image::ByteSink {
 public:
  berth::base::Result<std::span<uint8_t>> Room() override { return std::span<uint8_t>(buffer_); }
  berth::base::Status Filled(size_t count) override {
    total_ += count;
    if (count == 0 || count > buffer_.size() || total_ > kLimit) abort();
    return {};
  }

 private:
  std::array<uint8_t, 777> buffer_{};
  uint64_t total_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto windows = berth::image::WindowBudget::Make(1 << 20);
  berth::image::Decompressor decompressor({.zstd_window_log = 31, .output_limit = kLimit, .windows = windows});
  CountingSink sink;
  const size_t piece = size > 0 ? 1 + data[size - 1] : 1;
  for (size_t at = 0; at < size; at += piece) {
    if (!decompressor.Write({data + at, std::min(piece, size - at)}, sink)) return 0;
  }
  (void)decompressor.Finish(sink);
  return 0;
}
