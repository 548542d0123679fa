// A layer blob's bytes turned back into tar bytes, as they arrive.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/context.h"
#include "base/result.h"
#include "image/window_budget.h"

namespace berth::image {

enum class Compression { kPlain, kGzip, kZstd };

// What a blob that begins so is: gzip, zstd (skippable frames included), or plain.
Compression CompressionOf(std::span<const uint8_t> beginning);

// Where decompressed bytes go: the decompressor writes into the sink's own memory.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  // At least one byte of room. May wait until the reader has made some.
  virtual base::Result<std::span<uint8_t>> Room() = 0;
  // `count` bytes of the last room, from its start, are filled.
  virtual base::Status Filled(size_t count) = 0;
};

// Tells the compression by the first bytes, whatever the media type says: gzip (RFC 1952), zstd and its skippable
// frames (RFC 8878), everything else is passed on unchanged. Further gzip members and zstd frames are read to the end.
// After the first one only zero bytes may follow, as tape padding; other bytes are an error: the digest of the blob
// covers them, so they are no accident. Errors are kInvalidArgument (the data) or kResourceExhausted (a limit) and
// final. Not thread-safe.
class Decompressor {
 public:
  struct Options {
    int zstd_window_log =
        27;  // of 10 to 31: frames that need a larger window are refused (RFC 8878, section 3.1.1.1.2)
    uint64_t output_limit = uint64_t{256} << 30;  // bytes
    // Output may be `ratio_limit` times the input and `ratio_free` bytes more. Deflate itself reaches 1,032.
    uint64_t ratio_limit = 1100;
    uint64_t ratio_free = uint64_t{8} << 30;  // a gigabyte of zeros is an honest file
    // Where set, memory for each zstd window comes from here before the frame begins.
    std::shared_ptr<WindowBudget> windows{};
  };
  // The context ends what Write waits for: a window's memory.
  explicit Decompressor(const Options& options, base::Context context = {});
  ~Decompressor();
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  base::Status Write(std::span<const uint8_t> input, ByteSink& sink);
  // The blob has ended. kInvalidArgument when it ended inside a member or frame.
  base::Status Finish(ByteSink& sink);

  Compression compression() const { return compression_; }  // known after four bytes, or Finish
  uint64_t output_bytes() const { return output_bytes_; }

 private:
  struct Gzip;
  struct Zstd;

  base::Status Start(ByteSink& sink);
  base::Status Decode(std::span<const uint8_t> input, ByteSink& sink);
  base::Status DecodePlain(std::span<const uint8_t> input, ByteSink& sink);
  base::Status DecodeGzip(std::span<const uint8_t> input, ByteSink& sink);
  base::Status DecodeZstd(std::span<const uint8_t> input, ByteSink& sink);
  base::Status BeginZstdFrame(std::span<const uint8_t> header, uint64_t window, ByteSink& sink);
  base::Result<size_t> DecodeZstdFrame(std::span<const uint8_t> input, ByteSink& sink);
  base::Status MakeZstdStream();
  base::Status Count(size_t produced, ByteSink& sink);

  const Options options_;
  const base::Context context_;
  Compression compression_ = Compression::kPlain;
  bool started_ = false;
  bool padding_ = false;  // only zero bytes may follow
  std::array<uint8_t, 4> magic_{};
  size_t magic_size_ = 0;
  uint64_t input_bytes_ = 0;
  uint64_t output_bytes_ = 0;
  std::unique_ptr<Gzip> gzip_;
  std::unique_ptr<Zstd> zstd_;
};

}  // namespace berth::image
