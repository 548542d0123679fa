#include <algorithm>
#include <map>

#include <CLI/CLI.hpp>

#include "base/time.h"
#include "cli/commands.h"
#include "cli/text.h"

namespace berth::cli {
namespace {

std::string StateText(cri::ContainerState state) {
  switch (state) {
    case cri::CONTAINER_CREATED:
      return "created";
    case cri::CONTAINER_RUNNING:
      return "running";
    case cri::CONTAINER_EXITED:
      return "exited";
    default:
      return "unknown";
  }
}

// Address of a pod, "host" for one in the host's network, "-" for a stopped one.
std::string Address(Session& session, const cri::PodSandbox& pod) {
  if (pod.state() != cri::SANDBOX_READY) return "-";
  const auto status = session.client.PodSandboxStatus(pod.id(), false, session.context);
  if (!status) return "-";  // gone since it was listed
  if (status->status().linux().namespaces().options().network() == cri::NODE) return "host";
  const std::string& ip = status->status().network().ip();
  return ip.empty() ? "-" : ip;
}

base::Result<int> RunPods(Session& session, bool quiet) {
  ASSIGN_OR_RETURN(cri::ListPodSandboxResponse list, session.client.ListPodSandbox(session.context));
  if (session.json) {
    Print(ToJsonText(list));
    return 0;
  }
  std::ranges::stable_sort(*list.mutable_items(), std::ranges::greater(), &cri::PodSandbox::created_at);
  Table table({"POD ID", "NAME", "NAMESPACE", "STATE", "ADDRESS", "CREATED", "RUNTIME"});
  const int64_t now = base::UnixNanos();
  for (const cri::PodSandbox& pod : list.items()) {
    if (quiet) {
      Print(pod.id() + "\n");
      continue;
    }
    const std::string runtime = pod.runtime_handler().empty() ? "(default)" : pod.runtime_handler();
    table.Add({ShortId(pod.id()), pod.metadata().name(), pod.metadata().namespace_(),
               pod.state() == cri::SANDBOX_READY ? "ready" : "not ready", Address(session, pod),
               Ago(pod.created_at(), now), runtime});
  }
  if (!quiet) Print(table.Text());
  return 0;
}

struct PsFlags {
  bool all = false;
  bool quiet = false;
};

base::Result<int> RunPs(Session& session, const PsFlags& flags) {
  ASSIGN_OR_RETURN(Objects objects, LoadObjects(session));
  auto& containers = *objects.containers.mutable_containers();
  if (!flags.all) {
    containers.erase(std::remove_if(containers.begin(), containers.end(),
                                    [](const auto& item) { return item.state() != cri::CONTAINER_RUNNING; }),
                     containers.end());
  }
  std::ranges::stable_sort(containers, std::ranges::greater(), &cri::Container::created_at);
  if (session.json) {
    Print(ToJsonText(objects.containers));
    return 0;
  }
  std::map<std::string, std::string> pod_names;
  for (const cri::PodSandbox& pod : objects.pods.items()) pod_names[pod.id()] = pod.metadata().name();
  Table table({"CONTAINER ID", "NAME", "IMAGE", "STATE", "CREATED", "POD", "POD ID"});
  const int64_t now = base::UnixNanos();
  for (const cri::Container& container : containers) {
    if (flags.quiet) {
      Print(container.id() + "\n");
      continue;
    }
    const cri::ImageSpec& image = container.image();
    table.Add({ShortId(container.id()), container.metadata().name(),
               image.user_specified_image().empty() ? image.image() : image.user_specified_image(),
               StateText(container.state()), Ago(container.created_at(), now), pod_names[container.pod_sandbox_id()],
               ShortId(container.pod_sandbox_id())});
  }
  if (!flags.quiet) Print(table.Text());
  return 0;
}

}  // namespace

void AddListCommands(CLI::App& app, Command& chosen) {
  auto quiet = std::make_shared<bool>(false);
  CLI::App* pods = app.add_subcommand("pods", "List the pods");
  pods->add_flag("-q,--quiet", *quiet, "Only ids");
  pods->callback([quiet, &chosen] { chosen = [quiet](Session& session) { return RunPods(session, *quiet); }; });

  auto flags = std::make_shared<PsFlags>();
  CLI::App* ps = app.add_subcommand("ps", "List the containers that run");
  ps->add_flag("-a,--all", flags->all, "Those that do not run, too");
  ps->add_flag("-q,--quiet", flags->quiet, "Only ids");
  ps->callback([flags, &chosen] { chosen = [flags](Session& session) { return RunPs(session, *flags); }; });
}

}  // namespace berth::cli
