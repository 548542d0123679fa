#include "json/json.h"

#include <limits>

#include <nlohmann/json.hpp>

namespace berth::json {
namespace {

using nlohmann::json;
constexpr int kMaxDepth = 100;

base::Result<const json*> Member(const json& object, std::string_view key, std::string_view what) {
  if (!object.is_object()) return base::Fail(base::Code::kInvalidArgument, what, " is not an object");
  const auto found = object.find(std::string(key));
  if (found == object.end() || found->is_null()) return nullptr;
  return &*found;
}

auto WrongType(std::string_view what, std::string_view key, std::string_view type) {
  return base::Fail(base::Code::kInvalidArgument, what, ": ", key, " is not ", type);
}

}  // namespace

base::Result<json> Parse(std::string_view text, std::string_view what) {
  bool too_deep = false;
  const json::parser_callback_t limit_depth = [&](int depth, json::parse_event_t, json&) {
    too_deep = too_deep || depth > kMaxDepth;
    return !too_deep;
  };
  json value = json::parse(text, limit_depth, /*allow_exceptions=*/false);
  if (too_deep) return base::Fail(base::Code::kInvalidArgument, what, ": nested deeper than ", kMaxDepth, " levels");
  if (value.is_discarded()) return base::Fail(base::Code::kInvalidArgument, what, ": not valid JSON");
  return value;
}

std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}
std::string DumpPretty(const json& value) {
  return value.dump(2, ' ', false, json::error_handler_t::replace);
}

bool IsText(std::string_view bytes) {
  try {
    (void)json(bytes).dump();
    return true;
  } catch (const json::type_error&) {
    return false;
  }
}

base::Result<std::string> String(const json& object, std::string_view key, std::string_view what) {
  ASSIGN_OR_RETURN(const json* member, Member(object, key, what));
  if (member == nullptr) return std::string();
  if (!member->is_string()) return WrongType(what, key, "a string");
  return member->get<std::string>();
}

base::Result<std::optional<int64_t>> Int(const json& object, std::string_view key, std::string_view what) {
  ASSIGN_OR_RETURN(const json* member, Member(object, key, what));
  if (member == nullptr) return std::optional<int64_t>();
  const bool fits = member->is_number_integer() &&
                    !(member->is_number_unsigned() &&
                      member->get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
  if (!fits) return WrongType(what, key, "a whole number");
  return std::optional<int64_t>(member->get<int64_t>());
}

base::Result<bool> Bool(const json& object, std::string_view key, std::string_view what) {
  ASSIGN_OR_RETURN(const json* member, Member(object, key, what));
  if (member == nullptr) return false;
  if (!member->is_boolean()) return WrongType(what, key, "true or false");
  return member->get<bool>();
}

base::Result<std::vector<std::string>> Strings(const json& object, std::string_view key, std::string_view what) {
  ASSIGN_OR_RETURN(const json* member, Array(object, key, what));
  std::vector<std::string> out;
  if (member == nullptr) return out;
  for (const json& item : *member) {
    if (!item.is_string()) return WrongType(what, key, "a list of strings");
    out.push_back(item.get<std::string>());
  }
  return out;
}

base::Result<std::map<std::string, std::string>> StringMap(const json& object, std::string_view key,
                                                           std::string_view what) {
  ASSIGN_OR_RETURN(const json* member, Object(object, key, what));
  std::map<std::string, std::string> out;
  if (member == nullptr) return out;
  for (const auto& [name, item] : member->items()) {
    if (!item.is_string()) return WrongType(what, key, "a map of strings");
    out.emplace(name, item.get<std::string>());
  }
  return out;
}

base::Result<const json*> Object(const json& object, std::string_view key, std::string_view what) {
  ASSIGN_OR_RETURN(const json* member, Member(object, key, what));
  if (member != nullptr && !member->is_object()) return WrongType(what, key, "an object");
  return member;
}

base::Result<const json*> Array(const json& object, std::string_view key, std::string_view what) {
  ASSIGN_OR_RETURN(const json* member, Member(object, key, what));
  if (member != nullptr && !member->is_array()) return WrongType(what, key, "a list");
  return member;
}

template <typename T>
T Reader::Take(base::Result<T> result) {
  if (result) return *std::move(result);
  if (status_) status_ = tl::make_unexpected(std::move(result).error());
  return T{};
}

std::string Reader::Text(std::string_view key) {
  return Take(String(object_, key, what_));
}
int64_t Reader::Number(std::string_view key) {
  return Take(Int(object_, key, what_)).value_or(0);
}
bool Reader::Flag(std::string_view key) {
  return Take(Bool(object_, key, what_));
}
std::vector<std::string> Reader::Texts(std::string_view key) {
  return Take(Strings(object_, key, what_));
}
std::map<std::string, std::string> Reader::TextMap(std::string_view key) {
  return Take(StringMap(object_, key, what_));
}

const json& Reader::Member(std::string_view key) {
  static const json kEmpty = json::object();
  const json* member = Take(Object(object_, key, what_));
  return member != nullptr ? *member : kEmpty;
}

}  // namespace berth::json
