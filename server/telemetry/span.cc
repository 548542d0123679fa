#include "server/telemetry/span.h"

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "json/json.h"

namespace berth::telemetry {
namespace {

using Json = nlohmann::json;

Json Attributes(const std::vector<std::pair<std::string, std::string>>& attributes) {
  Json out = Json::array();
  for (const auto& [key, value] : attributes) out.push_back({{"key", key}, {"value", {{"stringValue", value}}}});
  return out;
}

// "64-bit integers are encoded as decimal strings", ids as hex, enums as numbers (OTLP's JSON form).
Json Encode(const Span& span) {
  constexpr int kInternal = 1;
  constexpr int kServer = 2;
  constexpr int kError = 2;
  Json out{{"traceId", base::HexEncode(span.trace)},
           {"spanId", base::HexEncode(span.id)},
           {"name", span.name},
           {"kind", span.server ? kServer : kInternal},
           {"startTimeUnixNano", std::to_string(span.started_at)},
           {"endTimeUnixNano", std::to_string(span.started_at + span.duration.count())},
           {"attributes", Attributes(span.attributes)}};
  if (span.parent) out["parentSpanId"] = base::HexEncode(*span.parent);
  if (!span.error.empty()) out["status"] = {{"code", kError}, {"message", span.error}};
  return out;
}

}  // namespace

std::string EncodeSpans(std::span<const Span> spans, const std::vector<std::pair<std::string, std::string>>& resource) {
  Json list = Json::array();
  for (const Span& span : spans) list.push_back(Encode(span));
  const Json scope{{"scope", {{"name", "berthd"}}}, {"spans", std::move(list)}};
  return json::Dump({{"resourceSpans", Json::array({{{"resource", {{"attributes", Attributes(resource)}}},
                                                     {"scopeSpans", Json::array({scope})}}})}});
}

}  // namespace berth::telemetry
