// The files that every container of a pod gets: resolv.conf, hosts, hostname.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cri-proto/cri.h"

namespace berth::sandbox {

// The pod's host name: the request's, or the node's when it names none or the pod uses the host's network.
// kInvalidArgument for a name longer than the kernel takes (64 bytes).
base::Result<std::string> PodHostname(const cri::PodSandboxConfig& config);

// "search", "nameserver" and "options" lines; a copy of the node's file when the request has no dns_config or an empty
// one.
base::Result<std::string> ResolvConf(const cri::PodSandboxConfig& config);

// Names of the loopback and of the pod's addresses; a copy of the node's file when `ips` is empty (host network).
base::Result<std::string> HostsFile(const std::string& hostname, const std::vector<std::string>& ips);

}  // namespace berth::sandbox
