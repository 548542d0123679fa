#include "network/version.h"

#include <algorithm>
#include <array>

namespace berth::network {
namespace {

constexpr std::array<std::string_view, 7> kVersions = {"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};

}  // namespace

std::span<const std::string_view> SpecVersions() {
  return kVersions;
}

bool IsSpecVersion(std::string_view version) {
  return std::ranges::find(kVersions, version) != kVersions.end();
}

bool AtLeast(std::string_view version, std::string_view least) {
  const auto found = std::ranges::find(kVersions, version);
  return found != kVersions.end() && found >= std::ranges::find(kVersions, least);
}

}  // namespace berth::network
