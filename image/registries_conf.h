// What containers-registries.conf(5) says of registries and short names.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "image/reference.h"

namespace berth::image {

struct RegistriesConf {
  struct Mirror {
    enum class From { kAll, kDigestOnly, kTagOnly };
    std::string location;  // host[:port][/path]: takes the place of the prefix
    bool insecure = false;
    From from = From::kAll;
  };
  struct Entry {
    std::string prefix;    // host[:port][/path], or "*." and a domain
    std::string location;  // empty: names stay as they are
    bool insecure = false;
    bool blocked = false;
    std::vector<Mirror> mirrors;
  };
  enum class ShortNameMode { kPermissive, kEnforcing, kDisabled };

  std::vector<Entry> entries;
  std::vector<std::string> search;             // unqualified-search-registries
  std::map<std::string, std::string> aliases;  // a name without tag -> the full one
  std::vector<std::string> credential_helpers;
  ShortNameMode mode = ShortNameMode::kPermissive;

  // The entry with the longest prefix that the name ("host/path") lies under; nullptr when there is none.
  const Entry* Match(std::string_view name) const;
};

// The file and, in bytewise order, <file>.d/*.conf; all may be missing. Later ones replace whole entries of the same
// prefix, the search list and the mode, and add to the aliases ("" takes one away). Errors name file and line.
base::Result<RegistriesConf> LoadRegistriesConf(const base::Path& file);

// The files that LoadRegistriesConf would read.
std::vector<base::Path> RegistriesConfFiles(const base::Path& file);

// `name` with the part that `prefix` matches replaced by `location`; `name` itself for an empty location.
std::string Rewrite(std::string_view name, std::string_view prefix, std::string_view location);

// What a text that names an image may stand for: itself when it has a domain, else its alias, else the name in each
// search registry in turn, else docker.io's. kInvalidArgument when it is no name at all, or when a rule of the file
// forbids a guess.
base::Result<std::vector<Reference>> Candidates(const RegistriesConf& conf, std::string_view text);

}  // namespace berth::image
