// Names inside a layer.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::image {

inline constexpr size_t kMaxLayerPath = 4095;      // PATH_MAX without its NUL
inline constexpr size_t kMaxLayerComponent = 255;  // NAME_MAX
// As the kernel's own limit on links followed for one path.
inline constexpr int kMaxLinksFollowed = 40;

// Relative to the layer's root, without empty components, "." and "..": "/a/./b/../c" is "a/c", "" is the root.
// kInvalidArgument for a name that climbs above the root or is too long.
base::Result<std::string> CleanLayerPath(std::string_view name);

// What is before and after the last slash: {"a", "b"} of "a/b", {"", "a"} of "a".
struct SplitPath {
  std::string_view parent;
  std::string_view base;
};
SplitPath SplitLayerPath(std::string_view clean);

std::string JoinLayerPath(std::string_view folder, std::string_view name);
// Whether `path` is `folder` or below it.
bool IsWithin(std::string_view path, std::string_view folder);

}  // namespace berth::image
