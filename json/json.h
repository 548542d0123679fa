// JSON that others wrote, read without exceptions: every access says what was expected and where.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/result.h"

namespace berth::json {

// `what` names the document in errors. Refuses documents nested deeper than 100 levels.
base::Result<nlohmann::json> Parse(std::string_view text, std::string_view what);
// Compact; invalid UTF-8 is replaced, so this cannot fail.
std::string Dump(const nlohmann::json& value);
std::string DumpPretty(const nlohmann::json& value);
// Whether a JSON string can hold these bytes: they are UTF-8.
bool IsText(std::string_view bytes);

// Members of an object. An absent or null member gives the empty value; one of another type is kInvalidArgument with
// "<what>: <key> is not a <type>". `object` must be an object (checked, same error).
base::Result<std::string> String(const nlohmann::json& object, std::string_view key, std::string_view what);
base::Result<std::optional<int64_t>> Int(const nlohmann::json& object, std::string_view key, std::string_view what);
base::Result<bool> Bool(const nlohmann::json& object, std::string_view key, std::string_view what);
base::Result<std::vector<std::string>> Strings(const nlohmann::json& object, std::string_view key,
                                               std::string_view what);
base::Result<std::map<std::string, std::string>> StringMap(const nlohmann::json& object, std::string_view key,
                                                           std::string_view what);
// nullptr when absent or null.
base::Result<const nlohmann::json*> Object(const nlohmann::json& object, std::string_view key, std::string_view what);
base::Result<const nlohmann::json*> Array(const nlohmann::json& object, std::string_view key, std::string_view what);

// Reads many members of one object and keeps the first error, so that decoding a record reads like the record:
//
//   Reader reader(object, "container record");
//   out.id = reader.Text("id");
//   RETURN_IF_ERROR(reader.status());
//
// The object and `what` must outlive it.
class Reader {
 public:
  Reader(const nlohmann::json& object, std::string_view what) : object_(object), what_(what) {}

  std::string Text(std::string_view key);
  int64_t Number(std::string_view key);  // 0 when absent
  bool Flag(std::string_view key);
  std::vector<std::string> Texts(std::string_view key);
  std::map<std::string, std::string> TextMap(std::string_view key);
  const nlohmann::json& Member(std::string_view key);  // an object; an empty one when absent
  const base::Status& status() const { return status_; }

 private:
  template <typename T>
  T Take(base::Result<T> result);

  const nlohmann::json& object_;
  std::string_view what_;
  base::Status status_;
};

}  // namespace berth::json
