// Counters of network interfaces, read from inside the network namespace they live in.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace berth::stats {

struct InterfaceStats {
  struct Way {
    uint64_t bytes = 0;
    uint64_t packets = 0;
    uint64_t errors = 0;
    uint64_t dropped = 0;
    bool operator==(const Way&) const = default;
  };
  std::string name;
  Way received;
  Way sent;
  bool operator==(const InterfaceStats&) const = default;
};

// The form of /proc/net/dev; `lo` is left out, and what is beyond a bounded number. Names are printable ASCII, other
// bytes become "?".
std::vector<InterfaceStats> ParseNetDev(std::string_view text);

// Of each namespace pinned at a path, in that order. One thread for all of them, which enters one after the other and
// ends: no descriptor is kept, which would keep a namespace. A missing namespace is kNotFound.
std::vector<base::Result<std::vector<InterfaceStats>>> ReadInterfaces(const std::vector<base::Path>& namespaces);

}  // namespace berth::stats
