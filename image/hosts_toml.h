// containerd's hosts.toml: in which places a registry's repositories are looked for.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "image/host_settings.h"

namespace berth::image {

struct HostsToml {
  struct Host {
    std::string url;      // scheme and host, or the whole root of the API when `whole`
    bool whole = false;   // override_path, or its path ends in /v2: nothing is added
    bool resolve = true;  // may be asked what a tag means
    bool pull = true;     // may be asked for content
    HostSettings settings;
  };
  std::vector<Host> hosts;     // in the file's order
  std::optional<Host> server;  // asked last; absent: the registry itself, without settings
};

// The file must be there. Paths in it are relative to its folder.
base::Result<HostsToml> LoadHostsToml(const base::Path& file);

// The folder for a registry ("host" or "host:port") under one of `folders`: "host_port_", then "host:port", or "host";
// empty when there is none.
base::Path HostFolder(const std::vector<base::Path>& folders, std::string_view host);

}  // namespace berth::image
