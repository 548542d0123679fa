#include <unistd.h>

#include <memory>

#include <CLI/CLI.hpp>

#include "base/file.h"
#include "base/strings.h"
#include "cli/commands.h"
#include "cli/flags.h"

namespace berth::cli {
namespace {

struct RunFlags {
  std::string image;
  std::string name;
  std::string runtime;
  std::string hostname;
  std::string network = "pod";
  std::vector<std::string> environment;
  std::vector<std::string> mounts;
  std::vector<std::string> ports;
  bool remove = false;
  bool detach = false;
};

constexpr const char* kNamespace = "default";
constexpr const char* kLogs = "/var/log/berth";
constexpr std::chrono::seconds kGrace{10};

base::Result<cri::PodSandboxConfig> PodConfig(const RunFlags& flags) {
  cri::PodSandboxConfig config;
  const std::string uid = base::RandomId().substr(0, 32);
  config.mutable_metadata()->set_name(flags.name.empty() ? "run-" + uid.substr(0, 8) : flags.name);
  config.mutable_metadata()->set_namespace_(kNamespace);
  config.mutable_metadata()->set_uid(uid);
  config.set_hostname(flags.hostname.empty() ? config.metadata().name() : flags.hostname);
  const base::Path folder = base::Path(kLogs) / base::Cat(kNamespace, "_", config.metadata().name(), "_", uid);
  config.set_log_directory(folder.native());
  (*config.mutable_annotations())[kLogFolderAnnotation] = folder.native();
  for (const std::string& port : flags.ports) {
    ASSIGN_OR_RETURN(*config.add_port_mappings(), ParsePort(port));
  }
  if (flags.network == "host") {
    if (!flags.ports.empty())
      return base::Fail(base::Code::kInvalidArgument, "-p has no meaning with --network host: leave one of them out");
    config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(cri::NODE);
  }
  return config;
}

// Everything but the image's id.
base::Result<cri::ContainerConfig> ContainerConfig(const RunFlags& flags, const std::vector<std::string>& command,
                                                   const cri::PodSandboxConfig& pod) {
  cri::ContainerConfig config;
  config.mutable_metadata()->set_name(pod.metadata().name());
  config.mutable_image()->set_user_specified_image(flags.image);
  config.set_log_path("container.log");
  config.mutable_args()->Assign(command.begin(), command.end());
  for (const std::string& entry : flags.environment) {
    ASSIGN_OR_RETURN(*config.add_envs(), ParseEnvironment(entry));
  }
  for (const std::string& mount : flags.mounts) {
    ASSIGN_OR_RETURN(*config.add_mounts(), ParseMount(mount));
  }
  auto* security = config.mutable_linux()->mutable_security_context();
  *security->mutable_namespace_options() = pod.linux().security_context().namespace_options();
  security->mutable_namespace_options()->set_pid(cri::CONTAINER);
  security->mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
  return config;
}

base::Result<std::string> ImageId(Session& session, const std::string& reference) {
  ASSIGN_OR_RETURN(const auto present, session.client.ImageStatus(reference, false, session.context));
  if (present.has_image()) return present.image().id();
  cri::PullImageRequest request;
  request.mutable_image()->set_image(reference);
  return Pull(session, request);
}

base::Result<std::string> StartIn(Session& session, const cri::CreateContainerRequest& request) {
  ASSIGN_OR_RETURN(const auto created, session.client.CreateContainer(request, session.context));
  RETURN_IF_ERROR(session.client.StartContainer(created.container_id(), session.context));
  return created.container_id();
}

// Follows the container to its end. When the user leaves (Ctrl-C), it is stopped; a pod that has nothing left to do
// gives its address back.
base::Result<int> Attend(Session& session, Session& cleaning, const std::string& pod_id,
                         const std::string& container_id) {
  auto code = FollowToEnd(session, container_id);
  if (session.context.cancelled()) {
    RETURN_IF_ERROR(StopPod(cleaning, pod_id, kGrace));
    ASSIGN_OR_RETURN(const auto status, cleaning.client.ContainerStatus(container_id, false, cleaning.context));
    return status.status().exit_code();
  }
  // A failure to follow (the daemon is restarted, the log is gone) says nothing about the container: it is left alone.
  if (code) RETURN_IF_ERROR(cleaning.client.StopPodSandbox(pod_id, cleaning.context));
  return code;
}

cri::PodSandbox PodOf(const cri::RunPodSandboxResponse& made, const cri::RunPodSandboxRequest& request) {
  cri::PodSandbox pod;
  pod.set_id(made.pod_sandbox_id());
  *pod.mutable_metadata() = request.config().metadata();
  *pod.mutable_annotations() = request.config().annotations();
  return pod;
}

base::Result<int> RunRun(Session& session, const RunFlags& flags) {
  if (flags.detach && flags.remove)
    return base::Fail(base::Code::kInvalidArgument,
                      "--rm waits for the end of the container, and -d does not wait: leave one of them "
                      "out and use `berth rm` later");
  // All that can be wrong with the command line is found before anything is pulled or made.
  cri::RunPodSandboxRequest pod_request;
  ASSIGN_OR_RETURN(*pod_request.mutable_config(), PodConfig(flags));
  pod_request.set_runtime_handler(flags.runtime);
  cri::CreateContainerRequest request;
  ASSIGN_OR_RETURN(*request.mutable_config(), ContainerConfig(flags, session.command, pod_request.config()));
  ASSIGN_OR_RETURN(const std::string image_id, ImageId(session, flags.image));
  request.mutable_config()->mutable_image()->set_image(image_id);
  *request.mutable_sandbox_config() = pod_request.config();

  // Cleaning up has to go on when the user has pressed Ctrl-C.
  Session cleaning{.client = session.client, .context = base::Context()};
  auto made = session.client.RunPodSandbox(pod_request, session.context);
  if (!made && session.context.cancelled()) {
    // The daemon may be finishing it all the same; asking again joins that and tells the id.
    const base::Error left = made.error();
    made = cleaning.client.RunPodSandbox(pod_request, cleaning.context);
    if (made) RETURN_IF_ERROR(RemovePod(cleaning, PodOf(*made, pod_request)));
    return tl::make_unexpected(left);
  }
  if (!made) return tl::make_unexpected(std::move(made).error());
  const cri::PodSandbox pod = PodOf(*made, pod_request);
  request.set_pod_sandbox_id(pod.id());
  auto started = StartIn(session, request);
  if (!started) {
    if (base::Status removed = RemovePod(cleaning, pod); !removed) started.error().clean_up = removed.error().message;
    return tl::make_unexpected(std::move(started).error());
  }
  if (flags.detach) {
    Print(pod.id() + "\n");
    return 0;
  }
  auto code = Attend(session, cleaning, pod.id(), *started);
  if (!flags.remove || !code) return code;
  RETURN_IF_ERROR(RemovePod(cleaning, pod));
  return code;
}

}  // namespace

void AddRunCommands(CLI::App& app, Command& chosen) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App* command =
      app.add_subcommand("run", "Make a pod with one container and follow it to its end; exits with its exit code");
  command->add_option("--name", flags->name, "Name of pod and container");
  command->add_flag("--rm", flags->remove, "Remove the pod when the container has ended");
  command->add_flag("-d,--detach", flags->detach, "Print the pod's id and leave it running");
  command->add_option("-e,--env", flags->environment, "NAME=value, or NAME to hand on our own")
      ->allow_extra_args(false);
  command->add_option("-v,--volume", flags->mounts, "/host/folder:/in/container[:ro]")->allow_extra_args(false);
  command->add_option("-p,--publish", flags->ports, "[address:]host-port:container-port[/udp]")
      ->allow_extra_args(false);
  command->add_option("--runtime", flags->runtime, "Runtime handler; the daemon's default without it");
  command->add_option("--hostname", flags->hostname, "Host name in the pod; its name without it");
  command->add_option("--network", flags->network, "pod or host")
      ->check(CLI::IsMember({"pod", "host"}))
      ->capture_default_str();
  command->add_option("image", flags->image, "Name of the image; it is pulled when it is not there")->required();
  command->footer(
      "berth run [OPTIONS] image [argument...]: what follows the image replaces its command and keeps its entrypoint.");
  command->callback([flags, &chosen] { chosen = [flags](Session& session) { return RunRun(session, *flags); }; });
}

}  // namespace berth::cli
