#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>

#include "base/time.h"
#include "json/json.h"
#include "server/filter.h"
#include "server/handlers.h"
#include "server/status_reply.h"

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

base::Result<cri::PodSandboxStatusResponse> PodSandboxStatus(Services& services,
                                                             const cri::PodSandboxStatusRequest& request,
                                                             const base::Context&) {
  ASSIGN_OR_RETURN(const auto sandbox, services.sandboxes.Find(request.pod_sandbox_id()));
  cri::PodSandboxStatusResponse reply;
  FillStatus(*sandbox, *reply.mutable_status());
  // An evented kubelet takes the pod's containers from here, as they are at this time or later.
  reply.set_timestamp(base::UnixNanos());
  for (const auto& container : FilterContainers(services, {}, sandbox->id, {}))
    FillStatus(*container, *reply.add_containers_statuses());
  if (request.verbose()) {
    ASSIGN_OR_RETURN((*reply.mutable_info())["info"], VerboseInfo(*sandbox));
    (*reply.mutable_info())["timeline"] = state::ToJsonText(services.timelines.Read(sandbox->id));
  }
  return reply;
}

}  // namespace berth::server
