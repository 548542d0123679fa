#include "network/quantity.h"

#include <limits>
#include <utility>

#include "base/strings.h"

namespace berth::network {
namespace {

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

struct Scale {
  int64_t ten = 0;  // power of ten
  int two = 0;      // power of two
};

std::optional<Scale> ParseSuffix(std::string_view suffix) {
  constexpr std::pair<std::string_view, Scale> kSuffixes[] = {
      {"", {}},        {"n", {-9}},     {"u", {-6}},     {"m", {-3}},     {"k", {3}},      {"M", {6}},
      {"G", {9}},      {"T", {12}},     {"P", {15}},     {"E", {18}},     {"Ki", {0, 10}}, {"Mi", {0, 20}},
      {"Gi", {0, 30}}, {"Ti", {0, 40}}, {"Pi", {0, 50}}, {"Ei", {0, 60}},
  };
  for (const auto& [name, scale] : kSuffixes) {
    if (name == suffix) return scale;
  }
  if (suffix[0] != 'e' && suffix[0] != 'E') return std::nullopt;
  suffix.remove_prefix(1);
  if (suffix.starts_with('+')) suffix.remove_prefix(1);
  const auto exponent = base::ParseInt(suffix);
  if (!exponent || *exponent < -30 || *exponent > 30) return std::nullopt;
  return Scale{.ten = *exponent};
}

}  // namespace

std::optional<int64_t> ParseQuantity(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  uint64_t value = 0;
  int64_t fraction = 0;
  bool digits = false;
  bool point = false;
  size_t at = 0;
  for (; at < text.size() && (IsDigit(text[at]) || (text[at] == '.' && !point)); ++at) {
    if (text[at] == '.') {
      point = true;
      continue;
    }
    digits = true;
    if (__builtin_mul_overflow(value, uint64_t{10}, &value) ||
        __builtin_add_overflow(value, static_cast<uint64_t>(text[at] - '0'), &value)) {
      return std::nullopt;
    }
    if (point) ++fraction;
  }
  if (!digits) return std::nullopt;
  const auto scale = ParseSuffix(text.substr(at));
  if (!scale) return std::nullopt;
  if (__builtin_mul_overflow(value, uint64_t{1} << scale->two, &value)) return std::nullopt;
  int64_t ten = scale->ten - fraction;
  for (; ten > 0 && value != 0; --ten) {
    if (__builtin_mul_overflow(value, uint64_t{10}, &value)) return std::nullopt;
  }
  // Rounding up digit by digit gives the same as rounding up once.
  for (; ten < 0 && value != 0; ++ten) value = value / 10 + (value % 10 != 0 ? 1 : 0);
  if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
  return static_cast<int64_t>(value);
}

}  // namespace berth::network
