// TOML files of other programs, read member by member with what was expected and where in the error. For .cc files
// alone: the library's header is a large one.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

// The library asserts of its input what it has not looked at ("[}" ends a program; without assertions it is undefined
// what happens). An assertion that fails is thrown here instead, whatever kind of build this is, and caught by
// ReadToml. Hence the library's code is compiled here, not taken from a shared object that was built another way.
namespace berth::image::internal {
[[noreturn]] inline void ThrowNotToml() {
  throw std::runtime_error("not valid TOML");
}
}  // namespace berth::image::internal
#pragma push_macro("NDEBUG")
#undef NDEBUG
#undef TOML_HEADER_ONLY
#undef TOML_SHARED_LIB
#define TOML_HEADER_ONLY 1
#define TOML_ASSERT(expression) ((expression) ? static_cast<void>(0) : ::berth::image::internal::ThrowNotToml())
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

#include "base/file.h"
#include "base/result.h"

namespace berth::image {

// The file must be there; errors begin with its path.
base::Result<toml::table> ReadToml(const base::Path& path);

// Reads the members of one table and keeps the first error. Unknown members are left alone: they belong to programs
// that we are not. The table must outlive it.
class TomlReader {
 public:
  TomlReader(const toml::table& table, std::string what) : table_(table), what_(std::move(what)) {}

  std::string Text(std::string_view key);
  std::optional<bool> Flag(std::string_view key);
  // A text alone is a list of one.
  std::vector<std::string> Texts(std::string_view key);
  const toml::table* Table(std::string_view key);                // nullptr when absent
  std::vector<const toml::table*> Tables(std::string_view key);  // an array of tables
  void Fail(std::string_view key, std::string_view why);
  const base::Status& status() const { return status_; }

 private:
  const toml::table& table_;
  const std::string what_;
  base::Status status_;
};

}  // namespace berth::image
