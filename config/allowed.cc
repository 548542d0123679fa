#include "base/strings.h"
#include "config/keys.h"
#include "config/units.h"

namespace berth::config {
namespace {

template <typename Format>
std::string Range(std::string_view what, const Key& key, Format&& format) {
  if (key.max == INT64_MAX)
    return key.min == INT64_MIN ? std::string(what) : base::Cat(what, " of at least ", format(key.min));
  return base::Cat(what, " from ", format(key.min), " to ", format(key.max));
}

std::string Texts(std::string_view what, const Key& key) {
  // Nearly every rule refuses a newline, and so tells what it takes.
  const std::string_view rule = key.check != nullptr ? key.check("\n") : "";
  return rule.empty() ? std::string(what) : base::Cat(what, ": ", rule);
}

struct Describe {
  const Key& key;

  std::string operator()(bool*) const { return "true or false"; }
  std::string operator()(int64_t*) const {
    return Range("a whole number", key, [](int64_t n) { return std::to_string(n); });
  }
  std::string operator()(std::string*) const { return Texts("a text", key); }
  std::string operator()(base::Path*) const { return Texts("a path", key); }
  std::string operator()(std::chrono::milliseconds*) const {
    return Range("a duration (as 250ms, 30s, 5m)", key,
                 [](int64_t n) { return FormatDuration(std::chrono::milliseconds(n)); });
  }
  std::string operator()(ByteCount*) const {
    return Range("a size (as 4096, 16KiB, 1GiB)", key,
                 [](int64_t n) { return FormatSize({static_cast<uint64_t>(n)}); });
  }
  std::string operator()(FileMode*) const { return "an octal mode as 0660"; }
  std::string operator()(const EnumRef&) const {
    std::string out = "one of";
    for (size_t i = 0; i < key.choices.size(); ++i) out += base::Cat(i == 0 ? " " : ", ", key.choices[i]);
    return out;
  }
  std::string operator()(std::vector<std::string>*) const { return Texts("a list of texts", key); }
  template <typename T>
  std::string operator()(std::map<std::string, T>*) const {
    return Texts("a map", key);
  }
};

}  // namespace

std::string Allowed(const Key& key, const Field& field) {
  return std::visit(Describe{key}, field);
}

}  // namespace berth::config
