#include "server/streaming/resize.h"

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "json/json.h"

namespace berth::streaming {
namespace {

constexpr size_t kMaxObject = 1024;

// A size of at least 1 by 1; keys in any letter case.
std::optional<TerminalSize> SizeOf(const nlohmann::json& object) {
  TerminalSize size;
  for (const auto& [key, value] : object.items()) {
    const std::string name = base::Lower(key);
    if (name != "width" && name != "height") continue;
    if (!value.is_number_unsigned() || value.get<uint64_t>() > UINT16_MAX) return std::nullopt;
    (name == "width" ? size.columns : size.rows) = value.get<uint16_t>();
  }
  if (size.columns < 1 || size.rows < 1) return std::nullopt;
  return size;
}

}  // namespace

std::optional<TerminalSize> ResizeReader::Feed(std::string_view bytes) {
  std::optional<TerminalSize> last;
  for (const char c : bytes) {
    if (broken_) break;
    if (kept_.empty() && (c == '\n' || c == ' ' || c == '\r' || c == '\t')) continue;
    kept_.push_back(c);
    broken_ = kept_.front() != '{' || kept_.size() > kMaxObject;
    if (c != '}' || broken_) continue;
    const auto object = json::Parse(kept_, "terminal size");
    broken_ = !object || !object->is_object();
    kept_.clear();
    if (broken_) break;
    if (const auto size = SizeOf(*object)) last = size;
  }
  return last;
}

}  // namespace berth::streaming
