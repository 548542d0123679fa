#include <algorithm>
#include <map>
#include <memory>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/text.h"
#include "cli/timeline_picture.h"
#include "json/json.h"

namespace berth::cli {
namespace {

constexpr const char* kInfo = "timeline";

template <typename Reply>
std::string InfoOf(const Reply& reply) {
  const auto found = reply.info().find(kInfo);
  return found == reply.info().end() ? "[]" : found->second;
}

struct Part {
  std::string heading;  // "pod default/web 0123456789abc"
  nlohmann::json who;
  std::string timeline;
};

// How the images came here; those that have gone since, or came before the last boot, are left out.
base::Status AddImages(Session& session, const std::map<std::string, std::string>& images, std::vector<Part>& out) {
  for (const auto& [id, name] : images) {
    ASSIGN_OR_RETURN(const auto status, session.client.ImageStatus(id, true, session.context));
    if (const std::string timeline = InfoOf(status); timeline != "[]") {
      out.push_back({base::Cat("image ", name), {{"image", id}}, timeline});
    }
  }
  return {};
}

base::Result<std::vector<Part>> Collect(Session& session, const std::string& name) {
  ASSIGN_OR_RETURN(Objects objects, LoadObjects(session));
  ASSIGN_OR_RETURN(const cri::PodSandbox pod, FindPod(objects, name));
  ASSIGN_OR_RETURN(const auto status, session.client.PodSandboxStatus(pod.id(), true, session.context));
  std::vector<Part> out;
  const auto& metadata = pod.metadata();
  out.push_back({base::Cat("pod ", metadata.namespace_(), "/", metadata.name(), " ", ShortId(pod.id())),
                 {{"pod", pod.id()}},
                 InfoOf(status)});
  std::map<std::string, std::string> images;  // names by id
  auto& containers = *objects.containers.mutable_containers();
  std::ranges::stable_sort(containers, std::ranges::less(), &cri::Container::created_at);
  for (const cri::Container& container : containers) {
    if (container.pod_sandbox_id() != pod.id()) continue;
    const auto its = session.client.ContainerStatus(container.id(), true, session.context);
    if (!its) continue;  // gone since it was listed
    images.emplace(container.image_id(), its->status().image().image());
    out.push_back({base::Cat("container ", container.metadata().name(), " ", ShortId(container.id())),
                   {{"container", container.id()}},
                   InfoOf(*its)});
  }
  RETURN_IF_ERROR(AddImages(session, images, out));
  return out;
}

base::Result<int> RunTimeline(Session& session, const std::string& name) {
  ASSIGN_OR_RETURN(const std::vector<Part> parts, Collect(session, name));
  std::string text;
  nlohmann::json all = nlohmann::json::array();
  for (const Part& part : parts) {
    ASSIGN_OR_RETURN(const auto operations, ParseTimeline(part.timeline));
    text += base::Cat(text.empty() ? "" : "\n", part.heading, "\n",
                      operations.empty() ? "nothing is known any more\n" : DrawTimeline(operations));
    nlohmann::json member = part.who;
    ASSIGN_OR_RETURN(member[kInfo], json::Parse(part.timeline, kInfo));
    all.push_back(std::move(member));
  }
  Print(session.json ? json::DumpPretty(all) + "\n" : text);
  return 0;
}

}  // namespace

void AddTimelineCommands(CLI::App& app, Command& chosen) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand(
      "timeline", "Show which steps the start and stop of a pod and its containers took, and how long");
  command->add_option("pod", *name, "Name or id")->required();
  command->callback([name, &chosen] { chosen = [name](Session& session) { return RunTimeline(session, *name); }; });
}

}  // namespace berth::cli
