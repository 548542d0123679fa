// Image references as people and kubelets write them, and their normal form.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "image/digest.h"

namespace berth::image {

// The grammar of distribution/reference: [domain[:port]/]path[:tag][@algorithm:hex]. A value; always in normal form.
struct Reference {
  std::string domain;  // "docker.io", "localhost:5000", "[::1]:5000"; the reference's registry
  std::string path;    // "library/busybox"
  std::string tag;     // empty when there is a digest: the digest alone decides what is meant
  Digest digest;       // empty when there is a tag

  // Fills in docker.io, library/ and latest as Docker does. kInvalidArgument says which rule was broken; the text is
  // quoted there, cut to a sane length.
  static base::Result<Reference> Parse(std::string_view text);
  // Whether the text itself says which registry is meant; docker.io is only assumed otherwise.
  static bool HasDomain(std::string_view text);
  // Whether it has a tag of its own; "latest" is only assumed otherwise.
  static bool HasTag(std::string_view text);

  std::string Name() const;      // "docker.io/library/busybox"
  std::string Full() const;      // "docker.io/library/busybox:1.36" or "...@sha256:..."
  std::string Familiar() const;  // "busybox:1.36": without what parsing adds to the name
  std::string WireHost() const;  // what is connected to: "registry-1.docker.io" for docker.io, else the domain

  auto operator<=>(const Reference&) const = default;
};

// Whether a text can name an image by id: "sha256:" and up to 64 hex digits, or 3 to 64 bare ones. Such a text may be a
// name as well: ask the store for ids first, then as a name.
bool IsIdOrPrefix(std::string_view text);

}  // namespace berth::image
