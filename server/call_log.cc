#include "server/call_log.h"

#include <array>
#include <atomic>
#include <chrono>

#include <spdlog/spdlog.h>

#include "base/strings.h"

namespace berth::server {
namespace {

constexpr size_t kMaxValue = 256;  // of what a client sent

// What is polled is of interest only when it fails.
bool IsQuiet(std::string_view method) {
  constexpr std::array<std::string_view, 5> kPrefixes = {"List", "Stream", "Version", "Status", "ImageFsInfo"};
  for (const std::string_view prefix : kPrefixes) {
    if (method.starts_with(prefix)) return true;
  }
  return method.ends_with("Status") || method.ends_with("Stats");
}

// A stream that lasts as long as its client wants: its time says nothing, and the client's leaving is its usual end.
bool IsOpenEnded(std::string_view method) {
  return method == "GetContainerEvents" || method == "PullProgress";
}

// Names one call for good, in the logs of plugins too: not the same after a restart.
std::string NextId() {
  static const int64_t begin =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  static std::atomic<uint64_t> next = 1;
  return base::Cat(begin, "-", next.fetch_add(1));
}

std::string Quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return out + "\"";
}

}  // namespace

CallLog::CallLog(std::string_view method, const Telemetry& telemetry,
                 const std::optional<telemetry::TraceContext>& caller)
    : telemetry_(telemetry),
      figures_(telemetry.metrics->OfMethod(method)),
      method_(method),
      id_(NextId()),
      start_(base::Monotonic::now()) {
  if (figures_ != nullptr) figures_->Begun();
  if (telemetry_.tracer != nullptr) telemetry_.tracer->CallBegun(id_, IsQuiet(method), caller);
}

void CallLog::Add(std::string_view key, std::string_view value) {
  if (value.empty()) return;
  value = value.substr(0, kMaxValue);
  const bool plain = value.find_first_of(" \"=\\\n\t") == std::string_view::npos;
  fields_ += base::Cat(" ", key, "=", plain ? std::string(value) : Quote(value));
}

void CallLog::Write(const base::Error* error) {
  const std::chrono::nanoseconds took = base::Monotonic::now() - start_;
  const bool open_ended = IsOpenEnded(method_);
  if (figures_ != nullptr) figures_->Ended(open_ended ? std::nullopt : std::optional(took), error);
  if (telemetry_.tracer != nullptr) telemetry_.tracer->CallEnded(id_, method_, took, error);
  const double took_ms = std::chrono::duration<double, std::milli>(took).count();
  if (error == nullptr) {
    const auto level = IsQuiet(method_) ? spdlog::level::debug : spdlog::level::info;
    spdlog::log(level, "call={} request={}{} ms={:.1f} code=OK", method_, id_, fields_, took_ms);
  } else {
    const auto level = open_ended && error->code == base::Code::kCancelled ? spdlog::level::info : spdlog::level::warn;
    spdlog::log(level, "call={} request={}{} ms={:.1f} code={} error={}", method_, id_, fields_, took_ms,
                base::CodeName(error->code), Quote(error->Text()));
  }
}

}  // namespace berth::server
