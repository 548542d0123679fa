// The values of run's options, as people write them. Errors are kInvalidArgument and show an example.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "cri-proto/api.pb.h"

namespace berth::cli {

namespace cri = ::runtime::v1;

// "8080:80", "8080:80/udp", "127.0.0.1:8080:80", "[::1]:8080:80"; tcp when no protocol is given.
base::Result<cri::PortMapping> ParsePort(std::string_view text);
// "/host/folder:/in/container" with ":ro" or ":rw" behind it.
base::Result<cri::Mount> ParseMount(std::string_view text);
// "NAME=value"; "NAME" alone takes the value from our own environment.
base::Result<cri::KeyValue> ParseEnvironment(std::string_view text);

struct PortPair {
  uint16_t local = 0;
  uint16_t remote = 0;
};
// "8080:80"; "80" stands for "80:80"; ":80" and "0:80" take any local port that is free.
base::Result<PortPair> ParsePortPair(std::string_view text);

}  // namespace berth::cli
