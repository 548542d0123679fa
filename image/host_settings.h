// How one host is spoken to: certificates, headers, time limits. From hosts.toml and from folders of certificates.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"

namespace berth::image {

struct ClientCertificate {
  base::Path certificate;
  base::Path key;  // the same file when both are in one
};

struct HostSettings {
  std::vector<base::Path> authorities;  // PEM files trusted besides the system's
  std::vector<ClientCertificate> clients;
  std::optional<bool> verify;  // of TLS; unset: as the request says
  std::vector<std::pair<std::string, std::string>> headers;
  std::optional<std::chrono::milliseconds> connect_timeout;
};

}  // namespace berth::image
