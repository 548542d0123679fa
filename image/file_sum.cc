#include "image/file_sum.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <utility>

namespace berth::image {
namespace {

// Of "splitmix64": spreads each bit over all others, so that sums of many do not meet by chance.
uint64_t Mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

}  // namespace

void FileSum::Data(uint64_t offset, std::span<const uint8_t> bytes) {
  if (offset != next_) known_ = false;
  next_ = offset + bytes.size();
  constexpr size_t kPiece = size_t{1} << 30;  // the library counts in int
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min(bytes.size(), kPiece));
    bytes = bytes.subspan(piece.size());
    crc_ = crc32_iscsi(const_cast<uint8_t*>(piece.data()), static_cast<int>(piece.size()),
                       crc_);  // NOLINT: it does not write there
  }
}

void FileSum::End(uint64_t size) {
  if (next_ != size) known_ = false;
  sum_ += Mix((uint64_t{crc_} << 32) ^ Mix(size + 1));
  crc_ = 0;
  next_ = 0;
}

}  // namespace berth::image
