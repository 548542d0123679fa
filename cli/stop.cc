#include <algorithm>
#include <future>

#include <CLI/CLI.hpp>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/text.h"

namespace berth::cli {
namespace {

struct StopFlags {
  std::vector<std::string> names;
  int64_t grace = 10;
};
struct RemoveFlags {
  std::vector<std::string> names;
  bool force = false;
};

std::vector<cri::Container> RunningIn(const Objects& objects, const std::string& pod_id) {
  std::vector<cri::Container> out;
  std::ranges::copy_if(objects.containers.containers(), std::back_inserter(out), [&](const cri::Container& item) {
    return item.pod_sandbox_id() == pod_id && item.state() == cri::CONTAINER_RUNNING;
  });
  return out;
}

base::Status Stop(Session& session, const std::string& name, std::chrono::seconds grace) {
  ASSIGN_OR_RETURN(const Objects objects, LoadObjects(session));
  ASSIGN_OR_RETURN(const auto found, FindPodOrContainer(objects, name));
  if (const auto* pod = std::get_if<cri::PodSandbox>(&found)) return StopPod(session, pod->id(), grace);
  return session.client.StopContainer(std::get<cri::Container>(found).id(), grace, session.context);
}

base::Status Remove(Session& session, const std::string& name, bool force) {
  ASSIGN_OR_RETURN(const Objects objects, LoadObjects(session));
  ASSIGN_OR_RETURN(const auto found, FindPodOrContainer(objects, name));
  if (const auto* pod = std::get_if<cri::PodSandbox>(&found)) {
    if (const auto running = RunningIn(objects, pod->id()); !force && !running.empty())
      return base::Fail(base::Code::kFailedPrecondition, "\"", name, "\" is a pod with a running container (",
                        ShortId(running.front().id()), "); stop it first (`berth stop ", name,
                        "`) or use `berth rm -f`");
    return RemovePod(session, *pod);
  }
  const auto& container = std::get<cri::Container>(found);
  if (!force && container.state() == cri::CONTAINER_RUNNING)
    return base::Fail(base::Code::kFailedPrecondition, "\"", name, "\" is running; stop it first (`berth stop ", name,
                      "`) or use `berth rm -f`");
  return session.client.RemoveContainer(container.id(), session.context);
}

}  // namespace

base::Status StopPod(Session& session, const std::string& id, std::chrono::seconds grace) {
  ASSIGN_OR_RETURN(const Objects objects, LoadObjects(session));
  // Side by side, so that one grace period is the longest wait.
  std::vector<std::future<base::Status>> stops;
  for (const cri::Container& container : RunningIn(objects, id)) {
    stops.push_back(std::async(std::launch::async, [&session, grace, container_id = container.id()] {
      return session.client.StopContainer(container_id, grace, session.context);
    }));
  }
  base::Status first;
  for (auto& stop : stops) {
    if (base::Status done = stop.get(); !done && first) first = std::move(done);
  }
  RETURN_IF_ERROR(std::move(first));
  return session.client.StopPodSandbox(id, session.context);
}

base::Status RemovePod(Session& session, const cri::PodSandbox& pod) {
  RETURN_IF_ERROR(session.client.StopPodSandbox(pod.id(), session.context));
  RETURN_IF_ERROR(session.client.RemovePodSandbox(pod.id(), session.context));
  const auto folder = pod.annotations().find(kLogFolderAnnotation);
  if (folder == pod.annotations().end()) return {};
  // Anyone who may make pods could write any path there: only a folder that looks like one of run's is removed.
  const base::Path path = folder->second;
  if (!path.is_absolute() || path.filename() != base::Path(base::Cat(pod.metadata().namespace_(), "_",
                                                                     pod.metadata().name(), "_", pod.metadata().uid())))
    return {};
  return base::RemoveTree(path);
}

void AddStopCommands(CLI::App& app, Command& chosen) {
  auto stop = std::make_shared<StopFlags>();
  CLI::App* stop_command = app.add_subcommand("stop", "Stop containers, or pods with all their containers");
  stop_command->add_option("name", stop->names, "Names or ids")->required();
  stop_command->add_option("-t,--time", stop->grace, "Seconds until they are killed")
      ->capture_default_str()
      ->check(CLI::Range(0, 86400));
  stop_command->callback([stop, &chosen] {
    chosen = [stop](Session& session) {
      return ForEach(stop->names,
                     [&](const std::string& name) { return Stop(session, name, std::chrono::seconds(stop->grace)); });
    };
  });

  auto remove = std::make_shared<RemoveFlags>();
  CLI::App* remove_command = app.add_subcommand("rm", "Remove containers, or pods with all their containers");
  remove_command->add_option("name", remove->names, "Names or ids")->required();
  remove_command->add_flag("-f,--force", remove->force, "Kill what still runs");
  remove_command->callback([remove, &chosen] {
    chosen = [remove](Session& session) {
      return ForEach(remove->names, [&](const std::string& name) { return Remove(session, name, remove->force); });
    };
  });
}

}  // namespace berth::cli
