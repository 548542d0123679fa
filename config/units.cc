#include "config/units.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/strings.h"

namespace berth::config {
namespace {

struct Unit {
  std::string_view name;
  int64_t factor;
};
// The largest first.
constexpr std::array<Unit, 4> kDurations{{{"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}}};
constexpr std::array<Unit, 5> kSizes{
    {{"TiB", int64_t{1} << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}}};

template <size_t N>
std::optional<int64_t> ParseWithUnit(std::string_view text, const std::array<Unit, N>& units) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto number = base::ParseInt(text.substr(0, digits));
  if (!number) return std::nullopt;
  for (const Unit& unit : units) {
    if (unit.name != text.substr(digits)) continue;
    if (*number > std::numeric_limits<int64_t>::max() / unit.factor) return std::nullopt;
    return *number * unit.factor;
  }
  return std::nullopt;
}

template <size_t N>
std::string FormatWithUnit(int64_t value, const std::array<Unit, N>& units) {
  for (const Unit& unit : units) {
    if (value != 0 && value % unit.factor == 0) return base::Cat(value / unit.factor, unit.name);
  }
  return "0";
}

}  // namespace

std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  if (text == "0") return std::chrono::milliseconds(0);
  const auto value = ParseWithUnit(text, kDurations);
  if (!value) return std::nullopt;
  return std::chrono::milliseconds(*value);
}

std::string FormatDuration(std::chrono::milliseconds duration) {
  return FormatWithUnit(duration.count(), kDurations);
}

std::optional<ByteCount> ParseSize(std::string_view text) {
  const auto value = ParseWithUnit(text, kSizes);
  if (!value) return std::nullopt;
  return ByteCount{static_cast<uint64_t>(*value)};
}

std::string FormatSize(ByteCount size) {
  return FormatWithUnit(static_cast<int64_t>(size.bytes), kSizes);
}

std::optional<FileMode> ParseMode(std::string_view text) {
  if (text.size() == 4 && text.front() == '0') text.remove_prefix(1);
  if (text.size() != 3) return std::nullopt;
  uint32_t bits = 0;
  for (const char c : text) {
    if (c < '0' || c > '7') return std::nullopt;
    bits = bits << 3 | static_cast<uint32_t>(c - '0');
  }
  return FileMode{bits};
}

std::string FormatMode(FileMode mode) {
  std::string out = "0";
  for (int shift = 6; shift >= 0; shift -= 3) out.push_back(static_cast<char>('0' + (mode.bits >> shift & 7)));
  return out;
}

std::optional<Ulimit> ParseUlimit(std::string_view text) {
  constexpr std::array<std::string_view, 16> kNames = {"as",      "core",     "cpu",        "data",   "fsize", "locks",
                                                       "memlock", "msgqueue", "nice",       "nofile", "nproc", "rss",
                                                       "rtprio",  "rttime",   "sigpending", "stack"};
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return std::nullopt;
  Ulimit out{.name = text.substr(0, equals)};
  if (std::find(kNames.begin(), kNames.end(), out.name) == kNames.end()) return std::nullopt;
  const std::string_view values = text.substr(equals + 1);
  const size_t colon = values.find(':');
  const auto soft = base::ParseInt(values.substr(0, colon));
  const auto hard = colon == std::string_view::npos ? soft : base::ParseInt(values.substr(colon + 1));
  if (!soft || !hard || *soft < -1 || *hard < -1) return std::nullopt;
  // -1 is RLIM_INFINITY, the largest of all.
  out.soft = static_cast<uint64_t>(*soft);
  out.hard = static_cast<uint64_t>(*hard);
  if (out.soft > out.hard) return std::nullopt;
  return out;
}

}  // namespace berth::config
