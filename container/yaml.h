// YAML as the JSON that it stands for.
#pragma once

#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "base/result.h"

namespace berth::container {

// One document. Plain scalars become null, booleans and whole numbers (also 0x… and, as file modes are written, 0660
// and 0o660) where they look so, else texts. kInvalidArgument for anything that is not YAML, for keys that are no texts
// or stand twice, and for more than 64 levels or 100,000 values, which a few aliases can stand for.
base::Result<nlohmann::json> ParseYaml(std::string_view text, std::string_view what);

}  // namespace berth::container
