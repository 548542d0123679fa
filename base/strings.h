// Small text functions that the standard library lacks.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace berth::base {

// Pieces between separators, empty ones included; one empty piece for an empty text.
std::vector<std::string_view> Split(std::string_view text, char separator);
// Without blanks, tabs, carriage returns and newlines at both ends.
std::string_view Trim(std::string_view text);
std::string Join(std::span<const std::string> parts, std::string_view separator);
std::string Lower(std::string_view text);

// The whole text as a decimal number; nothing when it is empty, has other characters or does not fit.
std::optional<int64_t> ParseInt(std::string_view text);

std::string HexEncode(std::span<const uint8_t> bytes);
bool IsHex(std::string_view text);  // lower-case digits only, not empty
std::string Base64Encode(std::string_view bytes);
// Nothing for anything but padded standard base64.
std::optional<std::string> Base64Decode(std::string_view text);

// 64 lower-case hex digits from the kernel's random source: the id of a sandbox or container.
std::string RandomId();

}  // namespace berth::base
