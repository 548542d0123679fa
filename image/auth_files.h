// Credentials that the machine itself keeps: docker's config.json, containers' auth.json, and credential helpers.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"
#include "image/auth.h"

namespace berth::image {

// Thread-safe. Files are read at each question.
class AuthFiles {
 public:
  struct Options {
    std::vector<base::Path> files;  // the first that has something for a host decides; may be missing
    std::chrono::milliseconds helper_timeout{10'000};
    std::vector<base::Path> program_folders;  // of docker-credential-*; empty: those of $PATH
  };
  explicit AuthFiles(Options options) : options_(std::move(options)) {}

  // For "host[:port]" (a reference's domain) and a repository there: in each file a helper named for the host, then the
  // entry with the longest key that the name lies under, then the store's helper. Empty when nobody knows. Errors name
  // file and key, and never what stands there.
  base::Result<AuthConfig> Find(std::string_view host, std::string_view repository, const base::Context& context) const;

  // What one helper (docker-credential-<name>) has for a host. Empty when it says that it has nothing. Ends with the
  // context or after helper_timeout: its process group is killed.
  base::Result<AuthConfig> AskHelper(std::string_view name, std::string_view host, const base::Context& context) const;

 private:
  base::Result<AuthConfig> FindIn(const base::Path& file, std::string_view host, std::string_view repository,
                                  const base::Context& context) const;
  const Options options_;
};

}  // namespace berth::image
