#include <memory>

#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/text.h"

namespace berth::cli {
namespace {

std::string FeatureText(const cri::RuntimeHandler& handler) {
  std::string out;
  if (handler.features().recursive_read_only_mounts()) out += "recursive read-only mounts";
  if (handler.features().user_namespaces()) out += base::Cat(out.empty() ? "" : ", ", "user namespaces");
  return out.empty() ? "-" : out;
}

base::Result<int> RunInfo(Session& session) {
  ASSIGN_OR_RETURN(const auto version, session.client.Version(session.context));
  ASSIGN_OR_RETURN(const auto status, session.client.Status(true, session.context));
  if (session.json) {
    Print(ToJsonText(status));
    return 0;
  }
  ASSIGN_OR_RETURN(const Objects objects, LoadObjects(session));
  ASSIGN_OR_RETURN(const auto images, session.client.ListImages(session.context));
  std::string out = base::Cat(version.runtime_name(), " ", version.runtime_version(), " at ", session.client.socket(),
                              "\n", objects.pods.items_size(), " pods, ", objects.containers.containers_size(),
                              " containers, ", images.images_size(), " images\n\n");
  Table conditions({"CONDITION", "STATE", "REASON", "MESSAGE"});
  for (const cri::RuntimeCondition& condition : status.status().conditions())
    conditions.Add({condition.type(), condition.status() ? "yes" : "no", condition.reason(), condition.message()});
  out += conditions.Text() + "\n";
  Table handlers({"RUNTIME", "FEATURES"});
  for (const cri::RuntimeHandler& handler : status.runtime_handlers())
    handlers.Add({handler.name().empty() ? "(default)" : handler.name(), FeatureText(handler)});
  Print(out + handlers.Text());
  return 0;
}

base::Result<int> RunVersion(Session& session) {
  Print(base::Cat("client  berth ", BERTH_VERSION, "\n"));
  ASSIGN_OR_RETURN(const auto version, session.client.Version(session.context));
  Print(base::Cat("daemon  ", version.runtime_name(), " ", version.runtime_version(), ", CRI ",
                  version.runtime_api_version(), "\n"));
  return 0;
}

base::Result<int> RunVersionJson(Session& session) {
  ASSIGN_OR_RETURN(const auto version, session.client.Version(session.context));
  Print(ToJsonText(version));
  return 0;
}

base::Result<int> RunLogLevel(Session& session, const std::string& level) {
  ASSIGN_OR_RETURN(const auto reply, session.client.SetLogLevel(level, session.context));
  Print(session.json ? ToJsonText(reply) : base::Cat(reply.level(), "\n"));
  return 0;
}

}  // namespace

void AddInfoCommands(CLI::App& app, Command& chosen) {
  app.add_subcommand("info", "Show the daemon's state")->callback([&chosen] { chosen = RunInfo; });
  app.add_subcommand("version", "Show the versions of client and daemon")->callback([&chosen] {
    chosen = [](Session& session) { return session.json ? RunVersionJson(session) : RunVersion(session); };
  });
  auto level = std::make_shared<std::string>();
  CLI::App* log_level =
      app.add_subcommand("log-level", "Show or change what the daemon logs, until its next start or SIGHUP");
  log_level->add_option("level", *level, "debug, info, warning or error");
  log_level->callback(
      [level, &chosen] { chosen = [level](Session& session) { return RunLogLevel(session, *level); }; });
}

}  // namespace berth::cli
