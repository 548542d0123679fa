// Quantities as Kubernetes writes them: "10M", "1.5Gi", "2e6".
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace berth::network {

// The quantity in whole units, rounded up. Nothing when it is malformed, negative or above 2^63-1.
std::optional<int64_t> ParseQuantity(std::string_view text);

}  // namespace berth::network
