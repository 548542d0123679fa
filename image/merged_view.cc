#include "image/merged_view.h"

#include <linux/limits.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/strings.h"
#include "image/layer_path.h"
#include "image/layer_xattr.h"

namespace berth::image {

using base::Code;
using base::Fail;
using base::FailErrno;
using base::Result;

using Layers = std::vector<size_t>;

std::string MergedView::PathIn(size_t layer, std::string_view path) const {
  return path.empty() ? folders_[layer].native() : base::Cat(folders_[layer].native(), '/', path);
}

Layers MergedView::Roots() const {
  Layers layers;
  for (size_t i = 0; i < folders_.size(); ++i) {
    layers.push_back(i);
    if (IsOpaque(folders_[i].native())) break;
  }
  return layers;
}

Result<std::optional<MergedView::Found>> MergedView::Step(const Layers& layers, std::string_view path) const {
  Found found;
  for (const size_t layer : layers) {
    const std::string full = PathIn(layer, path);
    struct stat info {};
    if (lstat(full.c_str(), &info) != 0) {
      if (errno == ENOENT || errno == ENOTDIR) continue;
      return FailErrno(errno, "stat ", full);
    }
    if (S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0)) break;
    if (!S_ISDIR(info.st_mode) && !found.layers.empty()) break;
    if (found.layers.empty()) found.info = info;
    found.layers.push_back(layer);
    if (!S_ISDIR(info.st_mode) || IsOpaque(full)) break;
  }
  if (found.layers.empty()) return std::optional<Found>();
  return std::optional(std::move(found));
}

Result<std::optional<MergedView::Found>> MergedView::Find(std::string_view path) const {
  if (path.empty()) {
    Found found{.layers = Roots()};
    if (found.layers.empty()) return std::optional<Found>();
    if (lstat(folders_.front().c_str(), &found.info) != 0) return FailErrno(errno, "stat ", folders_.front().native());
    return std::optional(std::move(found));
  }
  ASSIGN_OR_RETURN(const auto layers, Parents(path));
  if (!layers) return std::optional<Found>();
  return Step(*layers, path);
}

Result<std::optional<MergedView::Found>> MergedView::FindBelow(std::string_view path) const {
  Layers layers;
  if (path.empty()) {
    for (size_t i = 0; i < folders_.size(); ++i) layers.push_back(i);
  } else {
    ASSIGN_OR_RETURN(auto parents, Parents(path));
    if (!parents) return std::optional<Found>();
    layers = *std::move(parents);
  }
  std::erase(layers, size_t{0});
  return Step(layers, path);
}

// The layers whose folders are merged into the parent of `path`.
Result<std::optional<Layers>> MergedView::Parents(std::string_view path) const {
  std::optional<Layers> layers = Roots();
  for (size_t slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/', slash + 1)) {
    ASSIGN_OR_RETURN(auto found, Step(*layers, path.substr(0, slash)));
    if (!found || !S_ISDIR(found->info.st_mode)) return std::optional<Layers>();
    layers = std::move(found->layers);
  }
  return layers;
}

Result<std::optional<std::string>> MergedView::Resolve(std::string_view path, bool follow_last) const {
  std::vector<std::string> todo;  // the next component last
  const auto append = [&](std::string_view text) {
    const auto parts = base::Split(text, '/');
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
      if (!part->empty() && *part != ".") todo.emplace_back(*part);
    }
  };
  append(path);
  std::string done;
  int links = 0;
  while (!todo.empty()) {
    const std::string name = std::move(todo.back());
    todo.pop_back();
    if (name == "..") {
      done.resize(SplitLayerPath(done).parent.size());
      continue;
    }
    const std::string next = JoinLayerPath(done, name);
    if (next.size() > kMaxLayerPath) return std::optional<std::string>();
    ASSIGN_OR_RETURN(const auto found, Find(next));
    if (!found) return std::optional<std::string>();
    if (!S_ISLNK(found->info.st_mode) || (todo.empty() && !follow_last)) {
      done = next;
      continue;
    }
    if (++links > kMaxLinksFollowed) return Fail(Code::kInvalidArgument, path, ": too many symbolic links");
    std::array<char, PATH_MAX> target;
    const std::string full = PathIn(found->layers.front(), next);
    const ssize_t size = readlink(full.c_str(), target.data(), target.size());
    if (size < 0) return FailErrno(errno, "read link ", full);
    const std::string_view text(target.data(), static_cast<size_t>(size));
    if (text.starts_with('/')) done.clear();
    append(text);
  }
  return std::optional(std::move(done));
}

}  // namespace berth::image
