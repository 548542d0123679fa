// Which inflate: ISA-L, zlib and libdeflate over the same gzip layers, in processor time. libdeflate takes a whole
// member at once and gives it at once, so it could not be part of a pass that streams; it is here to know what that
// costs.
#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <time.h>
#include <zlib.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "base/file.h"

namespace {

constexpr size_t kRoom = 256 << 10;

double ProcessorSeconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

size_t ByIsal(std::string& in, std::vector<uint8_t>& room) {
  inflate_state state;
  isal_inflate_init(&state);
  state.crc_flag = ISAL_GZIP;
  state.next_in = reinterpret_cast<uint8_t*>(in.data());
  state.avail_in = static_cast<uint32_t>(in.size());
  size_t total = 0;
  while (state.block_state != ISAL_BLOCK_FINISH) {
    state.next_out = room.data();
    state.avail_out = kRoom;
    if (isal_inflate(&state) != ISAL_DECOMP_OK) return 0;
    total += kRoom - state.avail_out;
  }
  return total;
}

size_t ByZlib(std::string& in, std::vector<uint8_t>& room) {
  z_stream stream{};
  inflateInit2(&stream, 15 + 16);
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  size_t total = 0;
  int code = Z_OK;
  while (code == Z_OK) {
    stream.next_out = room.data();
    stream.avail_out = kRoom;
    code = inflate(&stream, Z_NO_FLUSH);
    total += kRoom - stream.avail_out;
  }
  inflateEnd(&stream);
  return code == Z_STREAM_END ? total : 0;
}

size_t ByLibdeflate(std::string& in, size_t size, std::vector<uint8_t>& whole) {
  whole.resize(size);
  libdeflate_decompressor* decompressor = libdeflate_alloc_decompressor();
  size_t total = 0;
  const auto result =
      libdeflate_gzip_decompress(decompressor, in.data(), in.size(), whole.data(), whole.size(), &total);
  libdeflate_free_decompressor(decompressor);
  return result == LIBDEFLATE_SUCCESS ? total : 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<uint8_t> room(kRoom);
  std::vector<uint8_t> whole;
  double isal = 0, zlib = 0, libdeflate = 0;
  size_t bytes = 0;
  for (int i = 1; i < argc; ++i) {
    auto in = berth::base::ReadFile(argv[i], size_t{4} << 30);
    if (!in) return std::fprintf(stderr, "%s\n", in.error().Text().c_str()), 1;
    const size_t size = ByIsal(*in, room);  // warms the pages up as well
    whole.assign(size, 0);
    const double start = ProcessorSeconds();
    const bool first = ByIsal(*in, room) == size;
    const double after_isal = ProcessorSeconds();
    const bool second = ByZlib(*in, room) == size;
    const double after_zlib = ProcessorSeconds();
    const bool third = ByLibdeflate(*in, size, whole) == size;
    if (!first || !second || !third || size == 0) return std::fprintf(stderr, "%s: not one gzip member\n", argv[i]), 1;
    libdeflate += ProcessorSeconds() - after_zlib;
    zlib += after_zlib - after_isal;
    isal += after_isal - start;
    bytes += size;
  }
  const double megabytes = static_cast<double>(bytes) / 1e6;
  std::printf("%.0f MB: ISA-L %.0f MB/s, zlib %.0f MB/s, libdeflate (whole member in memory) %.0f MB/s\n", megabytes,
              megabytes / isal, megabytes / zlib, megabytes / libdeflate);
}
