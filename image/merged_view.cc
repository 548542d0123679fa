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

Result<std::optional<MergedView::Found>> MergedView::Find(std::string_view path) {
  ASSIGN_OR_RETURN(const Layers* const layers, Parents(path));
  if (layers == nullptr || layers->empty()) return std::optional<Found>();
  if (!path.empty()) return Step(*layers, path);
  Found found{.layers = *layers};
  if (lstat(folders_.front().c_str(), &found.info) != 0) return FailErrno(errno, "stat ", folders_.front().native());
  return std::optional(std::move(found));
}

Result<std::optional<MergedView::Found>> MergedView::FindBelow(std::string_view path) {
  Layers layers;
  if (path.empty()) {
    for (size_t i = 0; i < folders_.size(); ++i) layers.push_back(i);
  } else {
    ASSIGN_OR_RETURN(const Layers* const parents, Parents(path));
    if (parents == nullptr) return std::optional<Found>();
    layers = *parents;
  }
  std::erase(layers, size_t{0});
  return Step(layers, path);
}

Result<const Layers*> MergedView::Parents(std::string_view path) {
  const std::string_view parent = SplitLayerPath(path).parent;
  KeepTheWayTo(parent);
  if (levels_.empty()) levels_.push_back({.end = 0, .layers = Roots()});
  while (way_.size() < parent.size()) {
    const size_t end = std::min(parent.find('/', way_.size() + 1), parent.size());
    ASSIGN_OR_RETURN(auto found, Step(levels_.back().layers, parent.substr(0, end)));
    if (!found || !S_ISDIR(found->info.st_mode)) return nullptr;
    way_.append(parent, way_.size(), end - way_.size());
    levels_.push_back({.end = end, .layers = std::move(found->layers)});
  }
  return &levels_.back().layers;
}

void MergedView::KeepTheWayTo(std::string_view folder) {
  const size_t same = static_cast<size_t>(std::ranges::mismatch(way_, folder).in1 - way_.begin());
  const auto leads_there = [&](size_t end) { return end <= same && (end == folder.size() || folder[end] == '/'); };
  while (levels_.size() > 1 && !leads_there(levels_.back().end)) levels_.pop_back();
  way_.resize(levels_.empty() ? 0 : levels_.back().end);
}

Result<std::optional<std::string>> MergedView::Resolve(std::string_view path, bool follow_last) {
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
