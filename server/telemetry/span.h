// Spans as OpenTelemetry's collectors take them: OTLP/HTTP in its JSON form.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "server/telemetry/trace_context.h"

namespace berth::telemetry {

struct Span {
  TraceId trace{};
  SpanId id{};
  std::optional<SpanId> parent;
  std::string name;
  bool server = false;     // answers a call of another process
  int64_t started_at = 0;  // Unix nanoseconds
  std::chrono::nanoseconds duration{0};
  std::string error;  // a code's name; empty: success
  std::vector<std::pair<std::string, std::string>> attributes;
};

// The body of a POST to /v1/traces. `resource`: attributes of who sends it.
std::string EncodeSpans(std::span<const Span> spans, const std::vector<std::pair<std::string, std::string>>& resource);

}  // namespace berth::telemetry
