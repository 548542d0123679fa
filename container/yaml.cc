#include "container/yaml.h"

#include <charconv>
#include <optional>
#include <string>

#include <yaml-cpp/yaml.h>
#include <nlohmann/json.hpp>

namespace berth::container {
namespace {

using base::Code;
using base::Fail;
using nlohmann::json;

constexpr int kMaxDepth = 64;
constexpr size_t kMaxValues = 100'000;

std::optional<int64_t> WholeNumber(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0o")) {
    base = text[1] == 'x' ? 16 : 8;
    text.remove_prefix(2);
  } else if (text.size() > 1 && text.front() == '0') {
    base = 8;
  }
  int64_t out = 0;
  // No second sign.
  if (text.empty() || text.front() == '-') return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return negative ? -out : out;
}

json Scalar(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  if (node.Tag() != "?") return text;  // quoted, or said to be a text
  if (text.empty() || text == "~" || text == "null") return nullptr;
  if (text == "true" || text == "false") return text == "true";
  if (const auto number = WholeNumber(text)) return *number;
  return text;
}

base::Result<json> Convert(const YAML::Node& node, std::string_view what, int depth, size_t& values) {
  if (depth > kMaxDepth || ++values > kMaxValues)
    return Fail(Code::kInvalidArgument, what, ": nested too deep, or too large");
  if (node.IsScalar()) return Scalar(node);
  if (node.IsSequence()) {
    json out = json::array();
    for (const YAML::Node& item : node) {
      ASSIGN_OR_RETURN(json value, Convert(item, what, depth + 1, values));
      out.push_back(std::move(value));
    }
    return out;
  }
  if (!node.IsMap()) return json(nullptr);
  json out = json::object();
  for (const auto& entry : node) {
    if (!entry.first.IsScalar()) return Fail(Code::kInvalidArgument, what, ": a key that is no text");
    const std::string& key = entry.first.Scalar();
    if (out.contains(key)) return Fail(Code::kInvalidArgument, what, ": ", key, " stands twice");
    ASSIGN_OR_RETURN(out[key], Convert(entry.second, what, depth + 1, values));
  }
  return out;
}

}  // namespace

base::Result<json> ParseYaml(std::string_view text, std::string_view what) {
  try {
    size_t values = 0;
    return Convert(YAML::Load(std::string(text)), what, 0, values);
  } catch (const YAML::Exception& e) {
    return Fail(Code::kInvalidArgument, what, ": not valid YAML: line ", e.mark.line + 1, ": ", e.msg);
  }
}

}  // namespace berth::container
