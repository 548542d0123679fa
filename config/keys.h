// The table of all keys: reading, checking and printing go through it, so none of them can miss one.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/strings.h"
#include "config/config.h"

namespace berth::config {

// An enum seen as an index into Key::choices.
struct EnumRef {
  void* value;
  int (*get)(const void*);
  void (*set)(void*, int);
};

// Where a key's value lies.
using Field =
    std::variant<bool*, int64_t*, std::string*, base::Path*, std::chrono::milliseconds*, ByteCount*, FileMode*, EnumRef,
                 std::vector<std::string>*, std::map<std::string, Runtime>*, std::map<std::string, Registry>*>;

struct Key {
  std::string_view path;         // "network.plugin_timeout"; of an item of a map: "mirrors"
  Field (*field)(void* object);  // of a Config, Runtime or Registry
  std::string_view doc;          // one line; says the unit where the type does not
  int64_t min = INT64_MIN;       // whole numbers; milliseconds of durations, bytes of sizes
  int64_t max = INT64_MAX;
  std::vector<std::string_view> choices{};  // of enums, in their order
  // For a text, each text of a list or each name of a map: empty when it is right, else what is allowed ("an absolute
  // path").
  std::string_view (*check)(std::string_view text) = nullptr;

  Key Range(int64_t least, int64_t most) && { return min = least, max = most, std::move(*this); }
  Key Choices(std::vector<std::string_view> names) && { return choices = std::move(names), std::move(*this); }
  Key Check(std::string_view (*rule)(std::string_view)) && { return check = rule, std::move(*this); }
};

// Sections' keys stand together; keys without a section come first.
std::span<const Key> ConfigKeys();
// What an entry of such a map holds.
std::span<const Key> ItemKeys(const std::map<std::string, Runtime>*);
std::span<const Key> ItemKeys(const std::map<std::string, Registry>*);

// What values the key takes, for errors and comments: "a whole number from 1 to 64".
std::string Allowed(const Key& key, const Field& field);

// Rules over several keys; calls `problem(path, text)` for each one broken.
template <typename Problem>
void CheckTogether(const Config& config, Problem&& problem) {
  if (!config.default_runtime.empty() && !config.runtimes.contains(config.default_runtime)) {
    problem("default_runtime", base::Cat("\"", config.default_runtime, "\" is not one of the runtimes"));
  }
  if (config.runtimes.empty()) problem("runtimes", std::string("none is left"));
  if (config.state_root == config.run_root) problem("run_root", std::string("is the same folder as state_root"));
}

}  // namespace berth::config
