#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>

#include "json/json.h"
#include "server/handlers.h"

namespace berth::server {
namespace {

base::Result<std::string> VerboseInfo(const sandbox::Sandbox& sandbox) {
  std::string config;
  if (const auto status = google::protobuf::util::MessageToJsonString(*sandbox.config, &config); !status.ok()) {
    return base::Fail(base::Code::kInternal, "sandbox ", sandbox.id, ": its request cannot be shown as JSON");
  }
  nlohmann::json info{{"pid", sandbox.pause.pid},
                      {"netNamespace", sandbox.net_namespace.native()},
                      {"netNamespaceClosed", sandbox.state != sandbox::State::kReady},
                      {"runtimeHandler", sandbox.runtime_handler},
                      {"runtimeType", sandbox.runtime},
                      {"cgroupParent", sandbox.cgroup_parent}};
  ASSIGN_OR_RETURN(info["config"], json::Parse(config, "sandbox request"));
  if (!sandbox.cni_result.empty()) {
    ASSIGN_OR_RETURN(info["cniResult"], json::Parse(sandbox.cni_result, "CNI result"));
  }
  return json::Dump(info);
}

}  // namespace

base::Result<cri::PodSandboxStatusResponse> PodSandboxStatus(Services& services, const cri::PodSandboxStatusRequest& request,
                                                             const base::Context&) {
  ASSIGN_OR_RETURN(const auto sandbox, services.sandboxes.Find(request.pod_sandbox_id()));
  cri::PodSandboxStatusResponse reply;
  cri::PodSandboxStatus& status = *reply.mutable_status();
  const cri::PodSandboxConfig& config = *sandbox->config;
  status.set_id(sandbox->id);
  *status.mutable_metadata() = config.metadata();
  status.set_state(sandbox->state == sandbox::State::kReady ? cri::SANDBOX_READY : cri::SANDBOX_NOTREADY);
  status.set_created_at(sandbox->created_at);
  status.mutable_network();
  for (const std::string& ip : sandbox->ips) {
    if (&ip == sandbox->ips.data()) status.mutable_network()->set_ip(ip);
    else status.mutable_network()->add_additional_ips()->set_ip(ip);
  }
  *status.mutable_linux()->mutable_namespaces()->mutable_options() = config.linux().security_context().namespace_options();
  *status.mutable_labels() = config.labels();
  *status.mutable_annotations() = config.annotations();
  status.set_runtime_handler(sandbox->runtime_handler);
  if (request.verbose()) {
    ASSIGN_OR_RETURN((*reply.mutable_info())["info"], VerboseInfo(*sandbox));
    (*reply.mutable_info())["timeline"] = state::ToJsonText(services.timelines.Read(sandbox->id));
  }
  return reply;
}

}  // namespace berth::server
