// Versions of the CNI specification.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace berth::network {

// Those that this code speaks, oldest first.
std::span<const std::string_view> SpecVersions();
bool IsSpecVersion(std::string_view version);

// `version` is one that we speak and not older than `least`. An unknown version is older than all.
bool AtLeast(std::string_view version, std::string_view least);

}  // namespace berth::network
