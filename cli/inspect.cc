#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "json/json.h"

namespace berth::cli {
namespace {

struct InspectFlags {
  std::string name;
  std::string type;  // empty: whatever it is
};

// The answer as JSON, with the values of `info` that are JSON themselves unfolded.
template <typename Reply>
std::string Unfold(const Reply& reply) {
  auto out = json::Parse(ToJsonText(reply), "answer");
  if (!out) return ToJsonText(reply);
  if (const auto info = out->find("info"); info != out->end() && info->is_object()) {
    for (auto& value : *info) {
      if (!value.is_string()) continue;
      auto inner = json::Parse(value.template get<std::string>(), "info");
      if (inner && inner->is_structured()) value = *std::move(inner);
    }
  }
  return json::DumpPretty(*out) + "\n";
}

base::Result<int> InspectContainer(Session& session, const std::string& id) {
  ASSIGN_OR_RETURN(const auto reply, session.client.ContainerStatus(id, true, session.context));
  Print(Unfold(reply));
  return 0;
}

base::Result<int> InspectPod(Session& session, const std::string& id) {
  ASSIGN_OR_RETURN(const auto reply, session.client.PodSandboxStatus(id, true, session.context));
  Print(Unfold(reply));
  return 0;
}

// The exit code, or nothing when there is no such image.
base::Result<std::optional<int>> InspectImage(Session& session, const std::string& name) {
  ASSIGN_OR_RETURN(const auto reply, session.client.ImageStatus(name, true, session.context));
  if (!reply.has_image()) return std::optional<int>();
  Print(Unfold(reply));
  return std::optional<int>(0);
}

base::Result<int> RunInspect(Session& session, const InspectFlags& flags) {
  if (flags.type != "image") {
    ASSIGN_OR_RETURN(const Objects objects, LoadObjects(session));
    if (flags.type == "container") {
      ASSIGN_OR_RETURN(const cri::Container container, FindContainer(objects, flags.name));
      return InspectContainer(session, container.id());
    }
    if (flags.type == "pod") {
      ASSIGN_OR_RETURN(const cri::PodSandbox pod, FindPod(objects, flags.name));
      return InspectPod(session, pod.id());
    }
    const auto found = FindPodOrContainer(objects, flags.name);
    if (!found && found.error().code != base::Code::kNotFound) return tl::make_unexpected(found.error());
    if (found && std::holds_alternative<cri::PodSandbox>(*found))
      return InspectPod(session, std::get<cri::PodSandbox>(*found).id());
    if (found) return InspectContainer(session, std::get<cri::Container>(*found).id());
  }
  ASSIGN_OR_RETURN(const std::optional<int> done, InspectImage(session, flags.name));
  if (done) return *done;
  return base::Fail(base::Code::kNotFound, "there is no ", flags.type.empty() ? "pod, container or image" : flags.type,
                    " \"", flags.name, "\"; see `berth pods`, `berth ps -a` and `berth images`");
}

}  // namespace

void AddInspectCommands(CLI::App& app, Command& chosen) {
  auto flags = std::make_shared<InspectFlags>();
  CLI::App* command =
      app.add_subcommand("inspect", "Show all that is known of a container, a pod or an image, as JSON");
  command->add_option("name", flags->name, "Name or id")->required();
  command->add_option("--type", flags->type, "What it is, where several things have the name")
      ->check(CLI::IsMember({"container", "pod", "image"}));
  command->callback([flags, &chosen] { chosen = [flags](Session& session) { return RunInspect(session, *flags); }; });
}

}  // namespace berth::cli
