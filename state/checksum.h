// CRC-32C (Castagnoli): tells a torn or damaged line or slot of ours from a whole one. Not for anything hostile.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace berth::state {

uint32_t Crc32c(std::string_view bytes);
// Eight lower-case hex digits.
std::string ChecksumText(std::string_view bytes);

}  // namespace berth::state
