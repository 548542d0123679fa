// Platforms: what this host can run, and which entry of an index that is.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::image {

struct Descriptor;

struct Platform {
  std::string os;
  std::string architecture;
  std::string variant;
  std::string os_version;
  std::vector<std::string> os_features;

  std::string Text() const;  // "linux/arm64/v8", of the parts that are there
  bool operator==(const Platform&) const = default;
};

// The usual spellings brought to one: x86_64 is amd64, aarch64 is arm64, arm without variant is v7 (containerd's
// table).
Platform Normalize(Platform platform);

// This machine: from uname(2) and, on amd64, the processor's x86-64 level.
Platform HostPlatform();

// What `host` can run, best first. The host itself is first.
std::vector<Platform> Acceptable(const Platform& host);

// Place of `candidate` in that order; -1 when it cannot run there. Both are normalised first.
int Rank(const Platform& candidate, const std::vector<Platform>& acceptable);

// Entries of an index that may be tried, best first: those whose platform matches, in the index's order within one
// rank, then those that name no platform (their config decides). Attestations and other non-images are left out.
// Indexes into `entries`.
std::vector<size_t> Candidates(const std::vector<Descriptor>& entries, const Platform& host);

}  // namespace berth::image
