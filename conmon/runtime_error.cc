#include <cstdint>
#include <optional>

#include "base/strings.h"
#include "conmon/client.h"

namespace berth::conmon {
namespace {

void AppendUtf8(std::string& out, uint32_t point) {
  if (point < 0x80) {
    out.push_back(static_cast<char>(point));
  } else if (point < 0x800) {
    out.push_back(static_cast<char>(0xc0 | point >> 6));
    out.push_back(static_cast<char>(0x80 | (point & 0x3f)));
  } else {
    out.push_back(static_cast<char>(0xe0 | point >> 12));
    out.push_back(static_cast<char>(0x80 | (point >> 6 & 0x3f)));
    out.push_back(static_cast<char>(0x80 | (point & 0x3f)));
  }
}

std::optional<uint32_t> HexPoint(std::string_view digits) {
  if (digits.size() < 4) return std::nullopt;
  uint32_t point = 0;
  for (const char c : digits.substr(0, 4)) {
    const int value = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    if (value < 0) return std::nullopt;
    point = point * 16 + static_cast<uint32_t>(value);
  }
  return point;
}

// The JSON string whose inside starts `text`, up to its closing quote; nothing when it is cut or wrong. Both halves of
// a surrogate pair become U+FFFD: this is text for people.
std::optional<std::string> JsonString(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') return out;
    if (text[i] != '\\') {
      out.push_back(text[i]);
      continue;
    }
    if (++i == text.size()) break;
    switch (text[i]) {
      case 'n':
        out.push_back('\n');
        break;
      case 't':
        out.push_back('\t');
        break;
      case 'r':
        out.push_back('\r');
        break;
      case 'b':
      case 'f':
        out.push_back(' ');
        break;
      case 'u': {
        const auto point = HexPoint(text.substr(i + 1));
        if (!point) return std::nullopt;
        AppendUtf8(out, *point >= 0xd800 && *point < 0xe000 ? 0xfffd : *point);
        i += 4;
        break;
      }
      default:
        out.push_back(text[i]);
    }
  }
  return std::nullopt;
}

}  // namespace

std::string RuntimeErrorText(std::string_view log) {
  constexpr std::string_view kMessage = "\"msg\":";
  std::optional<std::string> last;
  const auto lines = base::Split(log, '\n');
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    const size_t at = line->find(kMessage);
    if (at == std::string_view::npos) continue;
    std::string_view value = base::Trim(line->substr(at + kMessage.size()));
    if (!value.starts_with('"')) continue;
    auto message = JsonString(value.substr(1));
    if (!message) continue;
    // Warnings may follow the error that ended it.
    const bool error = line->find("error") < at || line->find("fatal") < at ||
                       line->find("\"level\":\"error\"") != std::string_view::npos;
    if (error) return *std::move(message);
    if (!last) last = std::move(message);
  }
  if (last) return *std::move(last);
  const std::string_view text = base::Trim(log);
  return text.empty() ? "no error text" : std::string(text);
}

}  // namespace berth::conmon
