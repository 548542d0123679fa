#include "network/attach_request.h"

#include <limits>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "json/json.h"
#include "network/quantity.h"

namespace berth::network {
namespace {

using Json = nlohmann::json;
using base::Code;

// Bits per second of a bandwidth annotation; nothing when it is absent.
base::Result<std::optional<int64_t>> Rate(const AttachRequest& request, const std::string& annotation) {
  constexpr int64_t kLeast = 1'000;
  constexpr int64_t kMost = 1'000'000'000'000'000;
  const auto found = request.annotations.find(annotation);
  if (found == request.annotations.end()) return std::optional<int64_t>();
  const auto rate = ParseQuantity(found->second);
  if (!rate) return base::Fail(Code::kInvalidArgument, "annotation ", annotation, ": not a quantity: ", found->second);
  if (*rate < kLeast || *rate > kMost) {
    return base::Fail(Code::kInvalidArgument, "annotation ", annotation, ": not within 1k and 1P: ", found->second);
  }
  return rate;
}

base::Result<Json> Bandwidth(const AttachRequest& request) {
  // The annotations have no burst, and the plugin refuses a rate without one: the most it takes.
  constexpr int64_t kBurst = std::numeric_limits<uint32_t>::max();
  Json out = Json::object();
  ASSIGN_OR_RETURN(const auto ingress, Rate(request, "kubernetes.io/ingress-bandwidth"));
  ASSIGN_OR_RETURN(const auto egress, Rate(request, "kubernetes.io/egress-bandwidth"));
  if (ingress) out.update({{"ingressRate", *ingress}, {"ingressBurst", kBurst}});
  if (egress) out.update({{"egressRate", *egress}, {"egressBurst", kBurst}});
  return out;
}

Json PortMappings(const AttachRequest& request) {
  Json out = Json::array();
  for (const PortMapping& mapping : request.port_mappings) {
    if (mapping.host_port <= 0) continue;
    Json entry = {
        {"hostPort", mapping.host_port}, {"containerPort", mapping.container_port}, {"protocol", mapping.protocol}};
    if (!mapping.host_ip.empty()) entry["hostIP"] = mapping.host_ip;
    out.push_back(std::move(entry));
  }
  return out;
}

}  // namespace

base::Result<std::string> CniArgs(const AttachRequest& request) {
  std::string args = "IgnoreUnknown=1";
  const std::pair<std::string_view, const std::string&> parts[] = {
      {"K8S_POD_NAMESPACE", request.pod_namespace},
      {"K8S_POD_NAME", request.pod_name},
      {"K8S_POD_INFRA_CONTAINER_ID", request.sandbox_id},
      {"K8S_POD_UID", request.pod_uid},
  };
  for (const auto& [key, value] : parts) {
    // Plugins split at ';' and then at '='.
    if (value.find_first_of(std::string_view(";=\0", 3)) != std::string::npos) {
      return base::Fail(Code::kInvalidArgument, key, ": a value for CNI_ARGS cannot hold ';' or '=': ", value);
    }
    args += base::Cat(";", key, "=", value);
  }
  return args;
}

base::Result<std::string> CapabilityArgs(const AttachRequest& request, const std::vector<std::string>& pod_cidrs) {
  Json out = Json::object();
  if (Json mappings = PortMappings(request); !mappings.empty()) out["portMappings"] = std::move(mappings);
  ASSIGN_OR_RETURN(Json bandwidth, Bandwidth(request));
  if (!bandwidth.empty()) out["bandwidth"] = std::move(bandwidth);
  if (request.dns) {
    out["dns"] = {
        {"servers", request.dns->servers}, {"searches", request.dns->searches}, {"options", request.dns->options}};
  }
  for (const std::string& cidr : pod_cidrs) {
    Json range = Json::object();
    range["subnet"] = cidr;
    out["ipRanges"].push_back(Json::array({std::move(range)}));
  }
  if (!request.cgroup_parent.empty()) out["cgroupPath"] = request.cgroup_parent;
  if (!request.annotations.empty()) out["io.kubernetes.cri.pod-annotations"] = request.annotations;
  return json::Dump(out);
}

}  // namespace berth::network
