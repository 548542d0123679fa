#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>

#include "container/stop_signal.h"
#include "json/json.h"
#include "server/container_state.h"
#include "server/handlers.h"

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

base::Result<cri::ContainerStatusResponse> ContainerStatus(Services& services, const cri::ContainerStatusRequest& request,
                                                           const base::Context&) {
  ASSIGN_OR_RETURN(const auto container, services.containers.Find(request.container_id()));
  cri::ContainerStatusResponse reply;
  cri::ContainerStatus& status = *reply.mutable_status();
  const cri::ContainerConfig& config = *container->config;
  status.set_id(container->id);
  *status.mutable_metadata() = config.metadata();
  status.set_state(CriState(container->state));
  status.set_created_at(container->created_at);
  status.set_started_at(container->started_at);
  if (container->state == container::State::kExited) {
    status.set_finished_at(container->exit.finished_at);
    status.set_exit_code(container->exit.code);
    status.set_reason(container->exit.reason);
    status.set_message(container->exit.message);
  }
  *status.mutable_image() = config.image();
  status.mutable_image()->set_image(container->image_name);
  status.set_image_ref(container->image_ref);
  status.set_image_id(container->image_id);
  *status.mutable_labels() = config.labels();
  *status.mutable_annotations() = config.annotations();
  *status.mutable_mounts() = config.mounts();
  size_t volume = 0;
  for (cri::Mount& mount : *status.mutable_mounts()) {
    const bool image = mount.has_image() && !mount.image().image().empty() && volume < container->volume_images.size();
    if (image) mount.mutable_image()->set_image_ref(container->volume_images[volume++]);
  }
  status.set_log_path(container->log_path.native());
  if (config.linux().has_resources()) *status.mutable_resources()->mutable_linux() = config.linux().resources();
  cri::LinuxContainerUser& user = *status.mutable_user()->mutable_linux();
  user.set_uid(container->uid);
  user.set_gid(container->gid);
  for (const int64_t group : container->groups) user.add_supplemental_groups(group);
  status.set_stop_signal(static_cast<cri::Signal>(container::SignalToCri(container->stop_signal)));
  if (request.verbose()) {
    ASSIGN_OR_RETURN((*reply.mutable_info())["info"], VerboseInfo(services, *container));
    (*reply.mutable_info())["timeline"] = state::ToJsonText(services.timelines.Read(container->id));
  }
  return reply;
}

}  // namespace berth::server
