#include "base/strings.h"
#include "config/keys.h"
#include "config/units.h"

namespace berth::config {
namespace {

using base::Cat;

bool NeedsNoQuotes(std::string_view text) {
  if (text.empty() || base::Lower(text) == "null") return false;
  for (const char c : text) {
    const bool plain =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '/' || c == '_';
    const bool inside = (c == '.' || c == '-') && &c != text.data();
    if (!plain && !inside) return false;
  }
  return true;
}

// Values hold no control characters, so these two are all that has to be escaped.
std::string Text(std::string_view text) {
  if (NeedsNoQuotes(text)) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out + "\"";
}

// A value on one line; of a map, its names.
struct Inline {
  const Key& key;

  std::string operator()(const bool* value) const { return *value ? "true" : "false"; }
  std::string operator()(const int64_t* value) const { return std::to_string(*value); }
  std::string operator()(const std::string* value) const { return Text(*value); }
  std::string operator()(const base::Path* value) const { return Text(value->native()); }
  std::string operator()(const std::chrono::milliseconds* value) const { return FormatDuration(*value); }
  std::string operator()(const ByteCount* value) const { return FormatSize(*value); }
  std::string operator()(const FileMode* value) const { return FormatMode(*value); }
  std::string operator()(const EnumRef& value) const {
    return std::string(key.choices[static_cast<size_t>(value.get(value.value))]);
  }
  std::string operator()(const std::vector<std::string>* list) const {
    std::string out = "[";
    for (const std::string& item : *list) out += Cat(out.size() > 1 ? ", " : "", Text(item));
    return out + "]";
  }
  template <typename T>
  std::string operator()(const std::map<std::string, T>* map) const {
    std::string out = "{";
    for (const auto& [name, item] : *map) out += Cat(out.size() > 1 ? ", " : "", Text(name));
    return out + "}";
  }
};

// The value as it stands after "key:".
struct Block {
  const Key& key;
  const Field& defaults;
  std::string indent;

  template <typename T>
  std::string operator()(const T& value) const {
    return Cat(" ", Inline{key}(value), "\n");
  }
  template <typename T>
  std::string operator()(std::map<std::string, T>* map) const {
    const auto& usual = *std::get<std::map<std::string, T>*>(defaults);
    std::string out;
    for (const auto& [name, item] : usual) {
      if (!map->contains(name)) out += Cat(indent, "  ", Text(name), ": null\n");
    }
    for (auto& [name, item] : *map) {
      out += Cat(indent, "  ", Text(name), ":\n");
      for (const Key& part : ItemKeys(map)) {
        out += Cat(indent, "    ", part.path, ": ", std::visit(Inline{part}, part.field(&item)), "\n");
      }
    }
    return out.empty() ? " {}\n" : "\n" + out;
  }
};

template <typename T>
void DescribeItems(std::string& out, const std::string& indent, std::map<std::string, T>* map) {
  T item;
  for (const Key& part : ItemKeys(map)) {
    out += Cat(indent, "# ", part.path, ": ", part.doc, " ", Allowed(part, part.field(&item)), ".\n");
  }
}
template <typename T>
void DescribeItems(std::string&, const std::string&, const T&) {}

}  // namespace

std::string Print(const Config& given) {
  Config config = given;
  Config defaults;
  std::string out = "# The configuration of berthd, defaults filled in.\n";
  std::string_view section;
  for (const Key& key : ConfigKeys()) {
    const size_t dot = key.path.find('.');
    const std::string_view here = dot == std::string_view::npos ? "" : key.path.substr(0, dot);
    if (here != section) out += Cat("\n", here, ":\n");
    section = here;
    const std::string indent = here.empty() ? "" : "  ";
    const Field field = key.field(&config);
    const Field usual = key.field(&defaults);
    out += Cat(indent, "# ", key.doc, "\n");
    out += Cat(indent, "# ", Allowed(key, field), "; default ", std::visit(Inline{key}, usual), "\n");
    std::visit([&](auto value) { DescribeItems(out, indent, value); }, field);
    out += Cat(indent, dot == std::string_view::npos ? key.path : key.path.substr(dot + 1), ":");
    out += std::visit(Block{key, usual, indent}, field);
  }
  return out;
}

}  // namespace berth::config
