// The registry configuration that a node's administrator keeps for other programs too: hosts.toml folders and
// registries.conf.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/guarded.h"
#include "base/result.h"
#include "image/host_settings.h"
#include "image/reference.h"
#include "image/registries_conf.h"

namespace berth::image {

// One place where a repository may be found.
struct Place {
  std::string url;        // with scheme: "https://host[/prefix]"; without: "host", asked as a registry of that name is
  bool whole = false;     // the URL is the API's root: no "/v2" is added
  std::string path;       // the repository's name there
  std::string ns;         // the registry that it stands for, if it must be told
  bool insecure = false;  // plain HTTP and unverified TLS
  bool resolve = true;    // may be asked what a tag means
  bool pull = true;       // may be asked for content
  bool mirror = true;     // not the registry itself: the caller's credentials are not for it
  std::shared_ptr<const HostSettings> settings;  // null: nothing is said
};

// Thread-safe. Files are looked at for each question and read again when one of them has changed, so no restart is
// needed. A file that cannot be read is an error that names it: guessing on could pull from a place that was forbidden.
class RegistryFiles {
 public:
  struct Options {
    std::vector<base::Path>
        host_folders;            // each with folders <host:port>/ and perhaps _default/ that hold a hosts.toml
    base::Path registries_conf;  // its drop-ins are in <registries_conf>.d; empty: none
  };
  explicit RegistryFiles(Options options) : options_(std::move(options)) {}

  // Where to look for the reference, best place first; nothing when no file says anything. A hosts.toml of the
  // registry's own goes before registries.conf, and that before _default/hosts.toml. kFailedPrecondition for a blocked
  // one.
  base::Result<std::optional<std::vector<Place>>> PlacesFor(const Reference& reference);

  // As image::Candidates, with the registries.conf that holds now.
  base::Result<std::vector<Reference>> Candidates(std::string_view text);

  base::Result<std::shared_ptr<const RegistriesConf>> Conf();

 private:
  struct Seen {
    std::string stamp;  // of the files that were read
    std::shared_ptr<const RegistriesConf> conf;
  };
  const Options options_;
  base::Guarded<Seen> seen_;
};

}  // namespace berth::image
