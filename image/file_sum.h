// A fingerprint of the contents of a layer's files, cheap enough to be taken while they are written.
#pragma once

#include <cstdint>
#include <span>

namespace berth::image {

// The order of the files does not matter, that of the bytes in one does. CRC-32C: it is against disks, not against
// people; what came from outside was verified by its digest. Not thread-safe.
class FileSum {
 public:
  // Bytes of the current file, in ascending order. A hole makes the sum unknown: nobody reads a terabyte of zeros to
  // compare.
  void Data(uint64_t offset, std::span<const uint8_t> bytes);
  void End(uint64_t size);  // of the current file
  // What was added is no longer what is there.
  void Spoil() { known_ = false; }

  bool known() const { return known_; }
  uint64_t value() const { return sum_; }

 private:
  uint32_t crc_ = 0;
  uint64_t next_ = 0;
  uint64_t sum_ = 0;
  bool known_ = true;
};

}  // namespace berth::image
