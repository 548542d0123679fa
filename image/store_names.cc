#include "image/store_names.h"

#include <algorithm>

#include "image/reference.h"

namespace berth::image {

using base::Code;
using base::Fail;
using base::Result;

namespace {

constexpr std::string_view kIdPrefix = "sha256:";

bool Matches(std::string_view name, std::string_view pattern) {
  const bool open_start = pattern.starts_with('*');
  if (open_start) pattern.remove_prefix(1);
  const bool open_end = pattern.ends_with('*');
  if (open_end) pattern.remove_suffix(1);
  if (open_start && open_end) return name.find(pattern) != std::string_view::npos;
  if (open_start) return name.ends_with(pattern);
  if (open_end) return name.starts_with(pattern);
  return name == pattern;
}

bool HasName(const Image& image, const Reference& reference, const std::string& full) {
  if (std::ranges::binary_search(image.repo_tags, full) || std::ranges::binary_search(image.repo_digests, full))
    return true;
  if (reference.digest.empty() || reference.digest != image.manifest_digest) return false;
  // Pulled by an index, asked for by the manifest that was chosen from it.
  const std::string prefix = reference.Name() + "@";
  return std::ranges::any_of(image.repo_digests, [&](const std::string& name) { return name.starts_with(prefix); });
}

ImagePtr FindByReference(const ImageList& images, const Reference& reference) {
  const std::string full = reference.Full();
  const auto found =
      std::ranges::find_if(images, [&](const ImagePtr& image) { return HasName(*image, reference, full); });
  return found == images.end() ? nullptr : *found;
}

// What cannot be read as a name is the name of nothing here.
ImagePtr FindByName(const ImageList& images, std::string_view text, const NameCandidates& candidates) {
  if (candidates) {
    const auto references = candidates(text);
    for (size_t i = 0; references && i < references->size(); ++i) {
      if (ImagePtr found = FindByReference(images, (*references)[i])) return found;
    }
    return nullptr;
  }
  const auto reference = Reference::Parse(text);
  return reference ? FindByReference(images, *reference) : nullptr;
}

}  // namespace

Result<ImagePtr> FindImage(const ImageList& images, std::string_view text, const NameCandidates& candidates) {
  bool ambiguous = false;
  ImagePtr by_id;
  if (IsIdOrPrefix(text)) {
    const std::string_view hex = text.starts_with(kIdPrefix) ? text.substr(kIdPrefix.size()) : text;
    for (const ImagePtr& image : images) {
      if (!std::string_view(image->id).substr(kIdPrefix.size()).starts_with(hex)) continue;
      ambiguous = by_id != nullptr;
      by_id = image;
      if (ambiguous) break;
    }
  }
  if (by_id && !ambiguous) return by_id;
  if (ImagePtr by_name = FindByName(images, text, candidates)) return by_name;
  if (ambiguous) return Fail(Code::kInvalidArgument, "image id ", text, " is ambiguous");
  return ImagePtr();
}

bool MatchesPattern(const Image& image, const std::vector<std::string>& patterns) {
  const auto any = [&](const std::vector<std::string>& names) {
    return std::ranges::any_of(names, [&](const std::string& name) {
      return std::ranges::any_of(patterns, [&](const std::string& pattern) { return Matches(name, pattern); });
    });
  };
  return any(image.repo_tags) || any(image.repo_digests);
}

}  // namespace berth::image
