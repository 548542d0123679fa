#include "sandbox/attach.h"

#include "base/strings.h"
#include "cri-proto/api.pb.h"

namespace berth::sandbox {
namespace {

std::string_view ProtocolName(cri::Protocol protocol) {
  switch (protocol) {
    case cri::UDP:
      return "udp";
    case cri::SCTP:
      return "sctp";
    default:
      return "tcp";
  }
}

}  // namespace

network::AttachRequest AttachRequestOf(const Sandbox& sandbox) {
  const cri::PodSandboxConfig& config = *sandbox.config;
  network::AttachRequest request{.sandbox_id = sandbox.id,
                                 .netns = sandbox.net_namespace,
                                 .pod_name = config.metadata().name(),
                                 .pod_namespace = config.metadata().namespace_(),
                                 .pod_uid = config.metadata().uid(),
                                 .annotations = {config.annotations().begin(), config.annotations().end()},
                                 .cgroup_parent = sandbox.cgroup_parent};
  for (const cri::PortMapping& mapping : config.port_mappings()) {
    request.port_mappings.push_back({.protocol = std::string(ProtocolName(mapping.protocol())),
                                     .container_port = mapping.container_port(),
                                     .host_port = mapping.host_port(),
                                     .host_ip = mapping.host_ip()});
  }
  if (config.has_dns_config()) {
    const cri::DNSConfig& dns = config.dns_config();
    request.dns = network::DnsConfig{.servers = {dns.servers().begin(), dns.servers().end()},
                                     .searches = {dns.searches().begin(), dns.searches().end()},
                                     .options = {dns.options().begin(), dns.options().end()}};
  }
  return request;
}

state::Entry CniEntry(const network::AttachRequest& request) {
  return {.kind = "cni",
          .target = request.sandbox_id,
          .details = {{"netns", request.netns.native()},
                      {"name", request.pod_name},
                      {"namespace", request.pod_namespace},
                      {"uid", request.pod_uid}},
          .durable = true};
}

network::AttachRequest RequestOf(const state::Entry& entry) {
  const auto detail = [&](const char* key) {
    const auto found = entry.details.find(key);
    return found == entry.details.end() ? std::string() : found->second;
  };
  return {.sandbox_id = entry.target,
          .netns = detail("netns"),
          .pod_name = detail("name"),
          .pod_namespace = detail("namespace"),
          .pod_uid = detail("uid")};
}

}  // namespace berth::sandbox
