#include "state/checksum.h"

#include <array>

namespace berth::state {
namespace {

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value & 1) != 0 ? value >> 1 ^ 0x82f63b78u : value >> 1;
    table[i] = value;
  }
  return table;
}
constexpr auto kTable = MakeTable();

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char c : bytes) crc = kTable[(crc ^ static_cast<uint8_t>(c)) & 0xff] ^ crc >> 8;
  return ~crc;
}

std::string ChecksumText(std::string_view bytes) {
  const uint32_t crc = Crc32c(bytes);
  std::string out(8, '0');
  for (size_t i = 0; i < out.size(); ++i) out[i] = "0123456789abcdef"[crc >> (28 - 4 * i) & 15];
  return out;
}

}  // namespace berth::state
