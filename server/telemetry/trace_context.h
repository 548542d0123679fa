// W3C trace context: which trace a caller's request belongs to.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace berth::telemetry {

using TraceId = std::array<uint8_t, 16>;
using SpanId = std::array<uint8_t, 8>;

struct TraceContext {
  TraceId trace{};
  SpanId span{};
  bool sampled = false;
};

// "00-<32 hex digits>-<16 hex digits>-<2 hex digits>"; nothing for what is none. Versions to come may have more behind
// it.
std::optional<TraceContext> ParseTraceParent(std::string_view text);

TraceId RandomTraceId();
SpanId RandomSpanId();

}  // namespace berth::telemetry
