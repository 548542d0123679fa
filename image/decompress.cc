#include "image/decompress.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

namespace berth::image {

using base::Code;
using base::Fail;
using base::Status;

namespace {

bool IsGzip(std::span<const uint8_t> magic) {
  return magic.size() >= 2 && magic[0] == 0x1f && magic[1] == 0x8b;
}

bool IsZstdFrame(std::span<const uint8_t> magic) {
  return magic.size() >= 4 && magic[0] == 0x28 && magic[1] == 0xb5 && magic[2] == 0x2f && magic[3] == 0xfd;
}

bool IsZstd(std::span<const uint8_t> magic) {
  if (magic.size() < 4) return false;
  const bool skippable = (magic[0] & 0xf0) == 0x50 && magic[1] == 0x2a && magic[2] == 0x4d && magic[3] == 0x18;
  return IsZstdFrame(magic) || skippable;
}

// How much a decoder must remember of a frame that begins so (RFC 8878, section 3.1.1.1); nothing while its header is
// not complete, 0 of what is no frame with data.
std::optional<uint64_t> ZstdWindow(std::span<const uint8_t> header) {
  if (header.size() < 5) return std::nullopt;
  if (!IsZstdFrame(header)) return 0;
  const uint8_t descriptor = header[4];
  const bool single = (descriptor & 0x20) != 0;
  const size_t size_flag = descriptor >> 6;
  constexpr std::array<size_t, 4> kDictionaryBytes{0, 1, 2, 4};
  const size_t size_at = (single ? 5 : 6) + kDictionaryBytes[descriptor & 3];
  const size_t size_bytes = size_flag > 0 ? size_t{1} << size_flag : single ? 1 : 0;
  if (header.size() < size_at + size_bytes) return std::nullopt;
  uint64_t content = size_bytes == 2 ? 256 : 0;
  for (size_t i = 0; i < size_bytes; ++i) content += uint64_t{header[size_at + i]} << (8 * i);
  if (single) return content;
  const uint64_t base = uint64_t{1} << (10 + (header[5] >> 3));
  const uint64_t window = base + base / 8 * (header[5] & 7);
  return size_bytes > 0 ? std::min(window, content) : window;
}

Status CheckPadding(std::span<const uint8_t> input, std::string_view after) {
  if (std::ranges::all_of(input, [](uint8_t byte) { return byte == 0; })) return {};
  return Fail(Code::kInvalidArgument, "decompress layer: data after the end of ", after);
}

std::string_view InflateErrorText(int code) {
  switch (code) {
    case ISAL_INVALID_BLOCK:
      return "invalid block";
    case ISAL_INVALID_SYMBOL:
      return "invalid symbol";
    case ISAL_INVALID_LOOKBACK:
      return "invalid distance";
    case ISAL_INVALID_WRAPPER:
      return "invalid header";
    case ISAL_UNSUPPORTED_METHOD:
      return "unsupported method";
    case ISAL_INCORRECT_CHECKSUM:
      return "wrong checksum";
    default:
      return "invalid data";
  }
}

}  // namespace

Compression CompressionOf(std::span<const uint8_t> beginning) {
  return IsGzip(beginning) ? Compression::kGzip : IsZstd(beginning) ? Compression::kZstd : Compression::kPlain;
}

struct Decompressor::Gzip {
  inflate_state state{};
  bool between = true;  // members
};

struct Decompressor::Zstd {
  struct Free {
    void operator()(ZSTD_DStream* ended) const { ZSTD_freeDStream(ended); }
  };
  std::unique_ptr<ZSTD_DStream, Free> stream;
  WindowBudget::Share window;
  std::vector<uint8_t> header;  // of the next frame, as far as it has come
  bool between = true;          // frames
};

Decompressor::Decompressor(const Options& options, base::Context context)
    : options_(options), context_(std::move(context)) {}
Decompressor::~Decompressor() = default;

Status Decompressor::Write(std::span<const uint8_t> input, ByteSink& sink) {
  if (!started_) {
    const size_t take = std::min(input.size(), magic_.size() - magic_size_);
    std::copy_n(input.begin(), take, magic_.begin() + static_cast<ptrdiff_t>(magic_size_));
    magic_size_ += take;
    input = input.subspan(take);
    if (magic_size_ < magic_.size()) return {};
    RETURN_IF_ERROR(Start(sink));
  }
  return input.empty() ? Status() : Decode(input, sink);
}

Status Decompressor::Start(ByteSink& sink) {
  started_ = true;
  const std::span<const uint8_t> magic(magic_.data(), magic_size_);
  if (IsGzip(magic)) {
    compression_ = Compression::kGzip;
    gzip_ = std::make_unique<Gzip>();
  } else if (IsZstd(magic)) {
    compression_ = Compression::kZstd;
    zstd_ = std::make_unique<Zstd>();
    RETURN_IF_ERROR(MakeZstdStream());
  }
  return magic.empty() ? Status() : Decode(magic, sink);
}

Status Decompressor::Finish(ByteSink& sink) {
  if (!started_) RETURN_IF_ERROR(Start(sink));
  if (gzip_ && !gzip_->between) return Fail(Code::kInvalidArgument, "decompress layer: the gzip data ends too early");
  if (zstd_ && (!zstd_->between || !zstd_->header.empty()))
    return Fail(Code::kInvalidArgument, "decompress layer: the zstd data ends too early");
  return {};
}

Status Decompressor::Decode(std::span<const uint8_t> input, ByteSink& sink) {
  // ISA-L counts in 32 bits.
  constexpr size_t kPiece = size_t{1} << 30;
  while (!input.empty()) {
    const auto piece = input.first(std::min(input.size(), kPiece));
    input = input.subspan(piece.size());
    input_bytes_ += piece.size();
    switch (compression_) {
      case Compression::kPlain:
        RETURN_IF_ERROR(DecodePlain(piece, sink));
        break;
      case Compression::kGzip:
        RETURN_IF_ERROR(DecodeGzip(piece, sink));
        break;
      case Compression::kZstd:
        RETURN_IF_ERROR(DecodeZstd(piece, sink));
        break;
    }
  }
  return {};
}

Status Decompressor::Count(size_t produced, ByteSink& sink) {
  if (produced == 0) return {};
  output_bytes_ += produced;
  if (output_bytes_ > options_.output_limit) {
    return Fail(Code::kResourceExhausted, "decompress layer: more than ", options_.output_limit, " bytes");
  }
  if (output_bytes_ > options_.ratio_free &&
      (output_bytes_ - options_.ratio_free) / options_.ratio_limit > input_bytes_) {
    return Fail(Code::kResourceExhausted, "decompress layer: ", input_bytes_, " bytes grew to ", output_bytes_,
                ", more than any honest layer");
  }
  return sink.Filled(produced);
}

Status Decompressor::DecodePlain(std::span<const uint8_t> input, ByteSink& sink) {
  while (!input.empty()) {
    ASSIGN_OR_RETURN(const std::span<uint8_t> room, sink.Room());
    const size_t take = std::min(input.size(), room.size());
    std::copy_n(input.begin(), take, room.begin());
    RETURN_IF_ERROR(Count(take, sink));
    input = input.subspan(take);
  }
  return {};
}

Status Decompressor::DecodeGzip(std::span<const uint8_t> input, ByteSink& sink) {
  inflate_state& state = gzip_->state;
  while (true) {
    if (gzip_->between) {
      if (input.empty()) return {};
      if (padding_ || input.front() == 0) {
        padding_ = true;
        return CheckPadding(input, "the gzip data");
      }
      isal_inflate_init(&state);
      state.crc_flag = ISAL_GZIP;  // header and trailer are read and checked
      gzip_->between = false;
    }
    ASSIGN_OR_RETURN(const std::span<uint8_t> room, sink.Room());
    const auto space = static_cast<uint32_t>(std::min<size_t>(room.size(), std::numeric_limits<uint32_t>::max()));
    state.next_in = const_cast<uint8_t*>(input.data());  // NOLINT: the library does not write there
    state.avail_in = static_cast<uint32_t>(input.size());
    state.next_out = room.data();
    state.avail_out = space;
    const int code = isal_inflate(&state);
    if (code < 0 || code == ISAL_NEED_DICT) {
      return Fail(Code::kInvalidArgument, "decompress layer: gzip: ", InflateErrorText(code));
    }
    const bool stuck =
        state.avail_in == input.size() && state.avail_out == space && state.block_state != ISAL_BLOCK_FINISH;
    if (stuck && !input.empty()) return Fail(Code::kInvalidArgument, "decompress layer: gzip: invalid data");
    input = input.last(state.avail_in);
    const bool output_full = state.avail_out == 0;
    RETURN_IF_ERROR(Count(space - state.avail_out, sink));
    if (state.block_state == ISAL_BLOCK_FINISH) {
      gzip_->between = true;
    } else if (input.empty() && !output_full) {
      return {};
    }
  }
}

Status Decompressor::MakeZstdStream() {
  zstd_->stream.reset(ZSTD_createDStream());
  const size_t code = ZSTD_DCtx_setParameter(zstd_->stream.get(), ZSTD_d_windowLogMax, options_.zstd_window_log);
  if (ZSTD_isError(code)) return Fail(Code::kInternal, "zstd window limit: ", ZSTD_getErrorName(code));
  return {};
}

Status Decompressor::DecodeZstd(std::span<const uint8_t> input, ByteSink& sink) {
  while (!input.empty()) {
    if (!zstd_->between) {
      ASSIGN_OR_RETURN(const size_t used, DecodeZstdFrame(input, sink));
      input = input.subspan(used);
      continue;
    }
    if (padding_ || (zstd_->header.empty() && input.front() == 0)) {
      padding_ = true;
      return CheckPadding(input, "the zstd data");
    }
    zstd_->header.push_back(input.front());
    input = input.subspan(1);
    const auto window = ZstdWindow(zstd_->header);
    if (window) RETURN_IF_ERROR(BeginZstdFrame(std::exchange(zstd_->header, {}), *window, sink));
  }
  return {};
}

Status Decompressor::BeginZstdFrame(std::span<const uint8_t> header, uint64_t window, ByteSink& sink) {
  if (options_.windows && window > zstd_->window.bytes()) {
    // Nothing is held while more is waited for, or two layers could wait for each other.
    zstd_->stream.reset();
    zstd_->window = {};
    ASSIGN_OR_RETURN(zstd_->window, options_.windows->Take(window, context_), "decompress layer: zstd");
    RETURN_IF_ERROR(MakeZstdStream());
  }
  zstd_->between = false;
  RETURN_IF_ERROR(DecodeZstdFrame(header, sink));
  return {};
}

// Up to the frame's end; how many bytes of the input that were.
base::Result<size_t> Decompressor::DecodeZstdFrame(std::span<const uint8_t> input, ByteSink& sink) {
  ZSTD_inBuffer in{input.data(), input.size(), 0};
  while (true) {
    ASSIGN_OR_RETURN(const std::span<uint8_t> room, sink.Room());
    ZSTD_outBuffer out{room.data(), room.size(), 0};
    const size_t left = ZSTD_decompressStream(zstd_->stream.get(), &out, &in);
    if (ZSTD_isError(left)) {
      if (ZSTD_getErrorCode(left) == ZSTD_error_frameParameter_windowTooLarge) {
        return Fail(Code::kResourceExhausted, "decompress layer: zstd: a frame needs a window of more than ",
                    (uint64_t{1} << options_.zstd_window_log) >> 10,
                    " KiB: compress it with a smaller one (zstd --long)");
      }
      return Fail(Code::kInvalidArgument, "decompress layer: zstd: ", ZSTD_getErrorName(left));
    }
    RETURN_IF_ERROR(Count(out.pos, sink));
    if (left == 0) {
      zstd_->between = true;
      return in.pos;
    }
    if (in.pos == in.size && out.pos < out.size) return in.pos;
  }
}

}  // namespace berth::image
