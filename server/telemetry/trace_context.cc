#include "server/telemetry/trace_context.h"

#include <sys/random.h>

#include <algorithm>
#include <span>

#include "base/strings.h"

namespace berth::telemetry {
namespace {

constexpr size_t kLength = 55;

int Nibble(char c) {
  return c <= '9' ? c - '0' : c - 'a' + 10;
}

// "All bytes as zero is considered an invalid value" (W3C Trace Context), of both ids.
bool ReadHex(std::string_view text, std::span<uint8_t> out) {
  if (text.size() != 2 * out.size() || !base::IsHex(text)) return false;
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<uint8_t>(Nibble(text[2 * i]) << 4 | Nibble(text[2 * i + 1]));
  return true;
}
bool IsZero(std::span<const uint8_t> id) {
  return std::ranges::all_of(id, [](uint8_t byte) { return byte == 0; });
}

void Fill(std::span<uint8_t> out) {
  // Never fails for so few bytes once the system has booted; an id of zeros would only be refused by the collector.
  if (getrandom(out.data(), out.size(), 0) < 0) out[0] = 1;
}

}  // namespace

std::optional<TraceContext> ParseTraceParent(std::string_view text) {
  if (text.size() < kLength || text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  const std::string_view version = text.substr(0, 2);
  if (!base::IsHex(version) || version == "ff") return std::nullopt;
  if (text.size() > kLength && (version == "00" || text[kLength] != '-')) return std::nullopt;
  TraceContext out;
  std::array<uint8_t, 1> flags{};
  const bool right = ReadHex(text.substr(3, 32), out.trace) && ReadHex(text.substr(36, 16), out.span) &&
                     ReadHex(text.substr(53, 2), flags);
  if (!right || IsZero(out.trace) || IsZero(out.span)) return std::nullopt;
  out.sampled = (flags[0] & 1) != 0;
  return out;
}

TraceId RandomTraceId() {
  TraceId out{};
  Fill(out);
  return out;
}
SpanId RandomSpanId() {
  SpanId out{};
  Fill(out);
  return out;
}

}  // namespace berth::telemetry
