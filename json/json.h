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

// Members of an object. An absent or null member gives the empty value; one of another type is kInvalidArgument with
// "<what>: <key> is not a <type>". `object` must be an object (checked, same error).
base::Result<std::string> String(const nlohmann::json& object, std::string_view key, std::string_view what);
base::Result<std::optional<int64_t>> Int(const nlohmann::json& object, std::string_view key, std::string_view what);
base::Result<bool> Bool(const nlohmann::json& object, std::string_view key, std::string_view what);
base::Result<std::vector<std::string>> Strings(const nlohmann::json& object, std::string_view key, std::string_view what);
base::Result<std::map<std::string, std::string>> StringMap(const nlohmann::json& object, std::string_view key,
                                                           std::string_view what);
// nullptr when absent or null.
base::Result<const nlohmann::json*> Object(const nlohmann::json& object, std::string_view key, std::string_view what);
base::Result<const nlohmann::json*> Array(const nlohmann::json& object, std::string_view key, std::string_view what);

}  // namespace berth::json
