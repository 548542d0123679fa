// What the network must know of a pod, and how it is told to the plugins.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace berth::network {

struct PortMapping {
  std::string protocol = "tcp";  // "tcp", "udp", "sctp"
  int32_t container_port = 0;
  int32_t host_port = 0;  // 0: not mapped
  std::string host_ip;    // empty: every address
};

struct DnsConfig {
  std::vector<std::string> servers;
  std::vector<std::string> searches;
  std::vector<std::string> options;
};

struct AttachRequest {
  std::string sandbox_id;
  base::Path netns;  // for Del: may be empty, or gone
  std::string pod_name;
  std::string pod_namespace;
  std::string pod_uid;
  std::vector<PortMapping> port_mappings;
  std::optional<DnsConfig> dns;
  std::map<std::string, std::string> annotations;  // the pod's; the bandwidth limits are read from them
  std::string cgroup_parent;
};

// The value of CNI_ARGS. kInvalidArgument when a part holds ';' or '=' where it must not.
base::Result<std::string> CniArgs(const AttachRequest& request);

// The capability arguments as a JSON object, those that are empty left out. A plugin gets of them what it declares.
// kInvalidArgument for a bandwidth annotation that is no quantity or not within 1k and 1P.
base::Result<std::string> CapabilityArgs(const AttachRequest& request, const std::vector<std::string>& pod_cidrs);

}  // namespace berth::network
