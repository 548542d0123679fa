#include "server/status_reply.h"

#include "container/stop_signal.h"
#include "server/container_state.h"

namespace berth::server {

void FillStatus(const container::Container& container, cri::ContainerStatus& status) {
  const cri::ContainerConfig& config = *container.config;
  status.set_id(container.id);
  *status.mutable_metadata() = config.metadata();
  status.set_state(CriState(container.state));
  status.set_created_at(container.created_at);
  status.set_started_at(container.started_at);
  if (container.state == container::State::kExited) {
    status.set_finished_at(container.exit.finished_at);
    status.set_exit_code(container.exit.code);
    status.set_reason(container.exit.reason);
    status.set_message(container.exit.message);
  }
  *status.mutable_image() = config.image();
  status.mutable_image()->set_image(container.image_name);
  status.set_image_ref(container.image_ref);
  status.set_image_id(container.image_id);
  *status.mutable_labels() = config.labels();
  *status.mutable_annotations() = config.annotations();
  *status.mutable_mounts() = config.mounts();
  size_t volume = 0;
  for (cri::Mount& mount : *status.mutable_mounts()) {
    const bool image = mount.has_image() && !mount.image().image().empty() && volume < container.volume_images.size();
    if (image) mount.mutable_image()->set_image_ref(container.volume_images[volume++]);
  }
  status.set_log_path(container.log_path.native());
  if (config.linux().has_resources()) *status.mutable_resources()->mutable_linux() = config.linux().resources();
  cri::LinuxContainerUser& user = *status.mutable_user()->mutable_linux();
  user.set_uid(container.uid);
  user.set_gid(container.gid);
  for (const int64_t group : container.groups) user.add_supplemental_groups(group);
  status.set_stop_signal(static_cast<cri::Signal>(container::SignalToCri(container.stop_signal)));
}

void FillStatus(const sandbox::Sandbox& sandbox, cri::PodSandboxStatus& status) {
  const cri::PodSandboxConfig& config = *sandbox.config;
  status.set_id(sandbox.id);
  *status.mutable_metadata() = config.metadata();
  status.set_state(sandbox.state == sandbox::State::kReady ? cri::SANDBOX_READY : cri::SANDBOX_NOTREADY);
  status.set_created_at(sandbox.created_at);
  status.mutable_network();
  for (const std::string& ip : sandbox.ips) {
    if (&ip == sandbox.ips.data())
      status.mutable_network()->set_ip(ip);
    else
      status.mutable_network()->add_additional_ips()->set_ip(ip);
  }
  *status.mutable_linux()->mutable_namespaces()->mutable_options() =
      config.linux().security_context().namespace_options();
  *status.mutable_labels() = config.labels();
  *status.mutable_annotations() = config.annotations();
  status.set_runtime_handler(sandbox.runtime_handler);
}

}  // namespace berth::server
