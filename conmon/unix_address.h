// Addresses of unix sockets whose path is longer than sun_path (108 bytes): named through a descriptor of their folder.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <optional>
#include <string_view>

#include "conmon/text.h"

namespace berth::conmon {

// The address of `name` in the folder that `folder` is open on. Valid in this process while `folder` is open. Nothing
// when `name` alone is too long.
inline std::optional<sockaddr_un> AddressIn(int folder, std::string_view name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  Text<sizeof address.sun_path> path;
  path.Add("/proc/self/fd/").Add(static_cast<uint64_t>(folder)).Add("/");
  if (name.empty() || path.size() + name.size() >= sizeof address.sun_path) return std::nullopt;
  path.Add(name);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

}  // namespace berth::conmon
