#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "config/config.h"
#include "json/json.h"
#include "server/handlers.h"

namespace berth::server {
namespace {

void AddCondition(cri::StatusResponse& reply, const char* type, const base::Status& status, const char* reason,
                  const std::string& prefix) {
  cri::RuntimeCondition* condition = reply.mutable_status()->add_conditions();
  condition->set_type(type);
  condition->set_status(status.has_value());
  if (status) return;
  condition->set_reason(reason);
  condition->set_message(prefix + status.error().message);
}

// The kubelet asks for features by the pod's handler name, "" for the default: a missing entry is "not known".
void AddHandler(cri::StatusResponse& reply, const std::string& name, const oci::Runtime& runtime,
                bool user_namespaces) {
  cri::RuntimeHandler* handler = reply.add_runtime_handlers();
  handler->set_name(name);
  const auto features = runtime.KnownFeatures();
  handler->mutable_features()->set_recursive_read_only_mounts(features && features->recursive_read_only);
  handler->mutable_features()->set_user_namespaces(user_namespaces);
}

nlohmann::json VerboseInfo(const Services& services) {
  nlohmann::json info{{"version", BERTH_VERSION},
                      {"defaultRuntime", services.default_runtime},
                      {"cgroupDriver", services.systemd_cgroup ? "systemd" : "cgroupfs"},
                      {"problems", services.problems()}};
  const auto network = services.network.config();
  info["network"] = {{"file", network->file.native()}, {"plugins", nlohmann::json::array()}};
  if (network->list) {
    info["network"]["name"] = network->list->name;
    for (const auto& plugin : network->list->plugins) info["network"]["plugins"].push_back(plugin.type);
  }
  if (services.clamped) info["oomScoreAdj"] = "clamped: the daemon lacks CAP_SYS_RESOURCE";
  return info;
}

}  // namespace

base::Result<cri::StatusResponse> Status(Services& services, const cri::StatusRequest& request,
                                         const base::Context& context) {
  cri::StatusResponse reply;
  const bool has_runtime = services.runtimes.contains(services.default_runtime);
  AddCondition(reply, "RuntimeReady",
               has_runtime ? base::Status()
                           : base::Fail(base::Code::kUnavailable, "no OCI runtime: neither crun nor runc was found"),
               "NoRuntime", "");
  AddCondition(reply, "NetworkReady", services.network.Status(context), "NetworkPluginNotReady",
               "Network plugin returns error: ");
  const auto network = services.network.config();
  if (reply.status().conditions(1).status() && network->list && !network::Takes(*network->list, "portMappings")) {
    // Some networks do that themselves, from what they know of the pod: not an error.
    reply.mutable_status()->mutable_conditions(1)->set_message(
        base::Cat("network ", network->list->name,
                  " has no plugin with the capability portMappings (as portmap): host ports work only if it sees to "
                  "them itself"));
  }
  if (has_runtime) AddHandler(reply, "", *services.runtimes.at(services.default_runtime), services.user_namespaces);
  for (const auto& [name, runtime] : services.runtimes) AddHandler(reply, name, *runtime, services.user_namespaces);
  reply.mutable_features()->set_supplemental_groups_policy(true);
  reply.mutable_features()->set_user_namespaces_host_network(services.user_namespaces);
  reply.mutable_features()->set_mount_options(true);
  if (request.verbose()) (*reply.mutable_info())["config"] = json::Dump(VerboseInfo(services));
  return reply;
}

}  // namespace berth::server
