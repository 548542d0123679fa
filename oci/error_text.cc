#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "json/json.h"
#include "oci/runtime.h"

namespace berth::oci {
namespace {

struct Line {
  bool error = false;
  std::string message;
};

std::optional<Line> FromJsonLine(std::string_view text) {
  if (!text.starts_with('{')) return std::nullopt;
  const auto object = json::Parse(text, "log line");
  if (!object) return std::nullopt;
  const auto message = json::String(*object, "msg", "log line");
  const auto level = json::String(*object, "level", "log line");
  if (!message || message->empty() || !level) return std::nullopt;
  return Line{.error = *level == "error" || *level == "fatal", .message = *message};
}

// The value of msg="..." with its backslash escapes undone, or of an unquoted msg=word.
std::string LogrusMessage(std::string_view text, size_t begin) {
  if (begin >= text.size() || text[begin] != '"') return std::string(text.substr(begin, text.find(' ', begin) - begin));
  std::string out;
  for (size_t i = begin + 1; i < text.size() && text[i] != '"'; ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    out.push_back(text[i]);
  }
  return out;
}

std::optional<Line> FromLogrusLine(std::string_view text) {
  constexpr std::string_view kLevel = "level=", kMessage = "msg=";
  const size_t level = text.find(kLevel);
  const size_t message = text.find(kMessage);
  if (level == std::string_view::npos || message == std::string_view::npos || message < level) return std::nullopt;
  const std::string_view name = text.substr(level + kLevel.size());
  return Line{.error = name.starts_with("error") || name.starts_with("fatal"),
              .message = LogrusMessage(text, message + kMessage.size())};
}

}  // namespace

std::string ErrorText(std::string_view log) {
  constexpr size_t kLimit = 4096;  // it ends up in the events of a pod
  std::string last, last_error;
  for (std::string_view text : base::Split(log, '\n')) {
    text = base::Trim(text);
    if (text.empty()) continue;
    auto line = FromJsonLine(text);
    if (!line) line = FromLogrusLine(text);
    if (!line) line = Line{.message = std::string(text)};
    (line->error ? last_error : last) = std::move(line->message);
  }
  std::string& out = last_error.empty() ? last : last_error;
  if (out.size() > kLimit) out.resize(kLimit);
  return std::move(out);
}

}  // namespace berth::oci
