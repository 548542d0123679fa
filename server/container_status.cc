#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>

#include "json/json.h"
#include "server/handlers.h"
#include "server/status_reply.h"

namespace berth::server {
namespace {

base::Result<std::string> VerboseInfo(const Services& services, const container::Container& container) {
  std::string config;
  if (const auto status = google::protobuf::util::MessageToJsonString(*container.config, &config); !status.ok()) {
    return base::Fail(base::Code::kInternal, "container ", container.id, ": its request cannot be shown as JSON");
  }
  nlohmann::json info{{"sandboxID", container.sandbox_id},
                      {"pid", container.state == container::State::kExited ? 0 : container.process.pid},
                      {"runtimeType", container.runtime},
                      {"privileged", container.config->linux().security_context().privileged()}};
  ASSIGN_OR_RETURN(info["config"], json::Parse(config, "container request"));
  if (const auto spec = services.containers.RuntimeSpec(container.id)) {
    ASSIGN_OR_RETURN(info["runtimeSpec"], json::Parse(*spec, "config.json"));
  }
  return json::Dump(info);
}

}  // namespace

base::Result<cri::ContainerStatusResponse> ContainerStatus(Services& services,
                                                           const cri::ContainerStatusRequest& request,
                                                           const base::Context&) {
  ASSIGN_OR_RETURN(const auto container, services.containers.Find(request.container_id()));
  cri::ContainerStatusResponse reply;
  FillStatus(*container, *reply.mutable_status());
  if (request.verbose()) {
    ASSIGN_OR_RETURN((*reply.mutable_info())["info"], VerboseInfo(services, *container));
    (*reply.mutable_info())["timeline"] = state::ToJsonText(services.timelines.Read(container->id));
  }
  return reply;
}

}  // namespace berth::server
