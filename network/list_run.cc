#include "network/list_run.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "json/json.h"
#include "network/result.h"
#include "network/version.h"

namespace berth::network {
namespace {

using Json = nlohmann::json;

void KeepFirst(base::Status& first, base::Status next) {
  if (first && !next) first = std::move(next);
}

}  // namespace

base::Result<std::string> PluginInput(const ConfigList& list, const PluginConfig& plugin,
                                      std::string_view capability_args, std::string_view previous,
                                      std::string_view attachments) {
  ASSIGN_OR_RETURN(Json input, json::Parse(plugin.json, plugin.type));
  input["name"] = list.name;
  input["cniVersion"] = list.version;
  if (!capability_args.empty() && !plugin.capabilities.empty()) {
    ASSIGN_OR_RETURN(const Json arguments, json::Parse(capability_args, "capability arguments"));
    Json runtime = Json::object();
    for (const auto& [name, value] : arguments.items()) {
      if (plugin.capabilities.contains(name)) runtime[name] = value;
    }
    if (!runtime.empty()) input["runtimeConfig"] = std::move(runtime);
  }
  if (!previous.empty()) {
    ASSIGN_OR_RETURN(input["prevResult"], json::Parse(previous, "previous result"));
  }
  if (!attachments.empty()) {
    ASSIGN_OR_RETURN(Json valid, json::Parse(attachments, "attachments"));
    input["cni.dev/attachments"] = valid;  // the key's first name, which some plugins still read
    input["cni.dev/valid-attachments"] = std::move(valid);
  }
  return json::Dump(input);
}

base::Result<std::string> ListRun::RunPlugin(const PluginConfig& plugin, std::string_view command,
                                             std::string_view previous, std::string_view attachments,
                                             const base::Context& context, int* code) const {
  ASSIGN_OR_RETURN(const std::string input, PluginInput(list, plugin, capability_args, previous, attachments));
  Environment variables;
  if (command == "ADD" || command == "DEL" || command == "CHECK") {
    variables = {{"CNI_CONTAINERID", sandbox_id}, {"CNI_NETNS", netns}, {"CNI_IFNAME", std::string(kInterface)}};
    if (!args.empty()) variables["CNI_ARGS"] = args;
  }
  if (observer) observer(plugin.type, command);
  return runner.Exec(plugin.type, command, variables, input, context.WithTimeout(plugin_timeout), code);
}

base::Result<std::string> ListRun::Add(const base::Context& context) const {
  std::string previous;
  for (const PluginConfig& plugin : list.plugins) {
    ASSIGN_OR_RETURN(const std::string output, RunPlugin(plugin, "ADD", previous, {}, context));
    ASSIGN_OR_RETURN(previous, ConvertResult(output, list.version, list.version), "plugin ", plugin.type,
                     " failed (ADD)");
  }
  return previous;
}

base::Status ListRun::Del(std::string_view previous, const base::Context& context) const {
  std::string result;
  // Before 0.4.0 DEL has no prevResult. One that cannot be read is as good as none: DEL must go on.
  if (AtLeast(list.version, "0.4.0") && !previous.empty()) {
    result = ConvertResult(previous, list.version, list.version).value_or(std::string());
  }
  constexpr int kUnknownContainer = 3;
  base::Status first;
  for (auto plugin = list.plugins.rbegin(); plugin != list.plugins.rend(); ++plugin) {
    int code = 0;
    auto output = RunPlugin(*plugin, "DEL", result, {}, context, &code);
    if (!output && code != kUnknownContainer) KeepFirst(first, tl::make_unexpected(std::move(output).error()));
  }
  return first;
}

base::Status ListRun::Check(std::string_view previous, const base::Context& context) const {
  ASSIGN_OR_RETURN(const std::string result, ConvertResult(previous, list.version, list.version));
  for (const PluginConfig& plugin : list.plugins) RETURN_IF_ERROR(RunPlugin(plugin, "CHECK", result, {}, context));
  return {};
}

base::Status ListRun::AskStatus(const base::Context& context) const {
  for (const PluginConfig& plugin : list.plugins) RETURN_IF_ERROR(RunPlugin(plugin, "STATUS", {}, {}, context));
  return {};
}

base::Status ListRun::Gc(const std::set<std::string>& valid, const base::Context& context) const {
  Json attachments = Json::array();
  for (const std::string& id : valid) attachments.push_back({{"containerID", id}, {"ifname", kInterface}});
  const std::string text = json::Dump(attachments);
  base::Status first;
  for (const PluginConfig& plugin : list.plugins) {
    auto output = RunPlugin(plugin, "GC", {}, text, context);
    if (!output) KeepFirst(first, tl::make_unexpected(std::move(output).error()));
  }
  return first;
}

}  // namespace berth::network
