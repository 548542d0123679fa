#include "image/layer_path.h"

#include <vector>

#include "base/strings.h"

namespace berth::image {

using base::Code;
using base::Fail;

base::Result<std::string> CleanLayerPath(std::string_view name) {
  std::string clean;
  for (const std::string_view part : base::Split(name, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (clean.empty())
        return Fail(Code::kInvalidArgument, "name ", name.substr(0, kMaxLayerPath), " leaves the layer");
      clean.resize(SplitLayerPath(clean).parent.size());
      continue;
    }
    if (part.size() > kMaxLayerComponent) {
      return Fail(Code::kInvalidArgument, "name with a component of ", part.size(), " bytes");
    }
    if (!clean.empty()) clean.push_back('/');
    clean.append(part);
  }
  if (clean.size() > kMaxLayerPath) return Fail(Code::kInvalidArgument, "name of ", clean.size(), " bytes");
  return clean;
}

SplitPath SplitLayerPath(std::string_view clean) {
  const size_t slash = clean.rfind('/');
  if (slash == std::string_view::npos) return {{}, clean};
  return {clean.substr(0, slash), clean.substr(slash + 1)};
}

std::string JoinLayerPath(std::string_view folder, std::string_view name) {
  return folder.empty() ? std::string(name) : base::Cat(folder, '/', name);
}

bool IsWithin(std::string_view path, std::string_view folder) {
  if (folder.empty()) return true;
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

}  // namespace berth::image
