// CNI results (CNI spec, section "Result types") of every version, and what a pod's addresses are.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::network {

inline constexpr std::string_view kInterface = "eth0";  // CNI_IFNAME of every pod
inline constexpr size_t kResultEntries = 1024;          // interfaces, addresses and routes of a result, each

struct Interface {
  std::string name;
  std::string mac;
  std::string sandbox;  // empty for a link of the host
};

// Which address is the pod's first.
enum class IpPreference { kIpv4, kIpv6, kCni };
// "ipv4", "ipv6", "cni".
std::optional<IpPreference> ParseIpPreference(std::string_view text);

// What a pod has after ADD. Plain data; keep `ips` in the sandbox's record.
struct Attachment {
  std::vector<std::string> ips;       // without prefix lengths, primary first, the rest in the result's order
  std::vector<Interface> interfaces;  // all of the result
  std::string result;                 // the last plugin's result in the list's version, compact JSON; for verbose info
};

// The result in `version`, compact. A result without cniVersion is read as `assumed` (the list's). Equal versions pass
// unchanged; otherwise what the target version cannot say is left out. kInvalidArgument for anything that is no result.
base::Result<std::string> ConvertResult(std::string_view result, std::string_view assumed, std::string_view version);

// Reads a result: the addresses whose interface lies in a sandbox and is `kInterface`, and those that name no
// interface. Error when there is none: kubelet would recreate a pod without address for ever.
base::Result<Attachment> ParseResult(std::string_view result, std::string_view assumed, IpPreference preference);

}  // namespace berth::network
