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
  std::vector<std::string> command;
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
    if (!flags.ports.empty()) return base::Fail(base::Code::kInvalidArgument, "-p has no meaning with --network host: leave one of them out");
    config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(cri::NODE);
  }
  return config;
}

base::Result<cri::ContainerConfig> ContainerConfig(const RunFlags& flags, const cri::PodSandboxConfig& pod, const std::string& image_id) {
  cri::ContainerConfig config;
  config.mutable_metadata()->set_name(pod.metadata().name());
  config.mutable_image()->set_image(image_id);
  config.mutable_image()->set_user_specified_image(flags.image);
  config.set_log_path("container.log");
  // What follows the image replaces its command and keeps its entrypoint.
  config.mutable_args()->Assign(flags.command.begin(), flags.command.end());
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

base::Result<int> RunRun(Session& session, const RunFlags& flags) {
  cri::RunPodSandboxRequest pod_request;
  ASSIGN_OR_RETURN(*pod_request.mutable_config(), PodConfig(flags));
  pod_request.set_runtime_handler(flags.runtime);
  ASSIGN_OR_RETURN(const std::string image_id, ImageId(session, flags.image));
  cri::CreateContainerRequest request;
  ASSIGN_OR_RETURN(*request.mutable_config(), ContainerConfig(flags, pod_request.config(), image_id));
  *request.mutable_sandbox_config() = pod_request.config();

  ASSIGN_OR_RETURN(const auto made, session.client.RunPodSandbox(pod_request, session.context));
  request.set_pod_sandbox_id(made.pod_sandbox_id());
  cri::PodSandbox pod;
  pod.set_id(made.pod_sandbox_id());
  *pod.mutable_metadata() = pod_request.config().metadata();
  *pod.mutable_annotations() = pod_request.config().annotations();
  // Cleaning up has to go on when the user has pressed Ctrl-C.
  Session cleaning{.client = session.client, .context = base::Context()};
  auto started = StartIn(session, request);
  if (!started) {
    if (base::Status removed = RemovePod(cleaning, pod); !removed) started.error().clean_up = removed.error().message;
    return tl::make_unexpected(std::move(started).error());
  }
  if (flags.detach) {
    Print(made.pod_sandbox_id() + "\n");
    return 0;
  }
  auto code = FollowToEnd(session, *started);
  if (!flags.remove) return code;
  if (base::Status removed = RemovePod(cleaning, pod); !removed && code) return tl::make_unexpected(std::move(removed).error());
  return code;
}

}  // namespace

void AddRunCommands(CLI::App& app, Command& chosen) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App* command = app.add_subcommand("run", "Make a pod with one container and follow it to its end; exits with its exit code");
  command->add_option("--name", flags->name, "Name of pod and container");
  command->add_flag("--rm", flags->remove, "Remove the pod when the container has ended");
  command->add_flag("-d,--detach", flags->detach, "Print the pod's id and leave it running");
  command->add_option("-e,--env", flags->environment, "NAME=value, or NAME to hand on our own")->allow_extra_args(false);
  command->add_option("-v,--volume", flags->mounts, "/host/folder:/in/container[:ro]")->allow_extra_args(false);
  command->add_option("-p,--publish", flags->ports, "[address:]host-port:container-port[/udp]")->allow_extra_args(false);
  command->add_option("--runtime", flags->runtime, "Runtime handler; the daemon's default without it");
  command->add_option("--hostname", flags->hostname, "Host name in the pod; its name without it");
  command->add_option("--network", flags->network, "pod or host")->check(CLI::IsMember({"pod", "host"}))->capture_default_str();
  command->add_option("image", flags->image, "Name of the image; it is pulled when it is not there")->required();
  command->add_option("command", flags->command, "What to run instead of the image's command");
  command->positionals_at_end();
  command->callback([flags, &chosen] { chosen = [flags](Session& session) { return RunRun(session, *flags); }; });
}

}  // namespace berth::cli
