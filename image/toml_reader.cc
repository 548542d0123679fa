#include "image/toml_reader.h"

#include <algorithm>
#include <cctype>

#include "base/strings.h"

namespace berth::image {
namespace {

using base::Code;
constexpr size_t kMaxFile = 4 << 20;

// toml++ 3.2 asserts (or assumes, without assertions) that a table's name begins as one, and has code points outside of
// texts that it cannot tell from blanks. Such files are refused before it sees them, and comments are not its business.
base::Result<std::string> Harmless(std::string_view text, const base::Path& path) {
  std::string out;
  size_t number = 0;
  for (const std::string_view line : base::Split(text, '\n')) {
    ++number;
    const std::string_view trimmed = base::Trim(line);
    out += '\n';
    if (trimmed.starts_with('#')) continue;
    const auto fail = [&](const char* why) {
      return base::Fail(Code::kInvalidArgument, path.native(), ":", number, ": ", why);
    };
    const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
    if (!std::ranges::all_of(line, is_ascii)) return fail("only comments may hold other characters than ASCII");
    if (trimmed.starts_with('[')) {
      const std::string_view name = base::Trim(trimmed.substr(trimmed.starts_with("[[") ? 2 : 1));
      const char first = name.empty() ? '\0' : name.front();
      if (std::isalnum(static_cast<unsigned char>(first)) == 0 &&
          std::string_view("_-\"']").find(first) == std::string_view::npos) {
        return fail("a table without a name");
      }
    }
    out += line;
  }
  return out.substr(std::min<size_t>(out.size(), 1));  // the first line has no newline before it
}

}  // namespace

base::Result<toml::table> ReadToml(const base::Path& path) {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path, kMaxFile));
  ASSIGN_OR_RETURN(const std::string harmless, Harmless(text, path));
  try {
    return toml::parse(harmless);
  } catch (const toml::parse_error& error) {
    return base::Fail(Code::kInvalidArgument, path.native(), ":", error.source().begin.line, ": ", error.description());
  } catch (const std::runtime_error& error) {
    return base::Fail(Code::kInvalidArgument, path.native(), ": ", error.what());
  }
}

void TomlReader::Fail(std::string_view key, std::string_view why) {
  if (!status_) return;
  const toml::node* node = table_.get(key);
  const auto line = node != nullptr ? node->source().begin.line : table_.source().begin.line;
  status_ = base::Fail(Code::kInvalidArgument, what_, ":", line, ": ", key, " ", why);
}

std::string TomlReader::Text(std::string_view key) {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return {};
  const auto value = node->value_exact<std::string>();
  if (!value) Fail(key, "is not a text");
  return value.value_or("");
}

std::optional<bool> TomlReader::Flag(std::string_view key) {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return std::nullopt;
  const auto value = node->value_exact<bool>();
  if (!value) Fail(key, "is not true or false");
  return value;
}

std::vector<std::string> TomlReader::Texts(std::string_view key) {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return {};
  if (const auto one = node->value_exact<std::string>()) return {*one};
  const toml::array* array = node->as_array();
  std::vector<std::string> out;
  for (size_t i = 0; array != nullptr && i < array->size(); ++i) {
    if (const auto value = (*array)[i].value_exact<std::string>()) out.push_back(*value);
  }
  if (array == nullptr || out.size() != array->size()) Fail(key, "is not a list of texts");
  return out;
}

const toml::table* TomlReader::Table(std::string_view key) {
  const toml::node* node = table_.get(key);
  if (node != nullptr && !node->is_table()) Fail(key, "is not a table");
  return node == nullptr ? nullptr : node->as_table();
}

std::vector<const toml::table*> TomlReader::Tables(std::string_view key) {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return {};
  std::vector<const toml::table*> out;
  const toml::array* array = node->as_array();
  for (size_t i = 0; array != nullptr && i < array->size(); ++i) {
    if (const toml::table* table = (*array)[i].as_table()) out.push_back(table);
  }
  if (array == nullptr || out.size() != array->size()) Fail(key, "is not an array of tables");
  return out;
}

}  // namespace berth::image
