#include "tests/bench/floor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>

#include <nlohmann/json.hpp>

#include "base/child.h"
#include "base/strings.h"

namespace berth::bench {

using base::Cat;
using base::Code;
using base::Fail;
using base::Path;
using base::Status;
using nlohmann::json;

namespace {

constexpr auto kLimit = std::chrono::seconds(60);
const std::vector<std::string> kEnvironment{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};

base::Result<std::string> RunPlugin(const std::string& command, const json& plugin, const std::string& id,
                                    const Path& netns) {
  const std::string type = plugin.at("type");
  base::RunOptions run;
  run.spawn = {.program = Path("/usr/lib/cni") / type, .arguments = {type}, .environment = kEnvironment};
  for (std::string entry :
       {Cat("CNI_COMMAND=", command), Cat("CNI_CONTAINERID=", id), Cat("CNI_NETNS=", netns.native()),
        std::string("CNI_IFNAME=eth0"), std::string("CNI_PATH=/usr/lib/cni")})
    run.spawn.environment.push_back(std::move(entry));
  run.input = plugin.dump();
  ASSIGN_OR_RETURN(base::RunResult result, base::Run(std::move(run), base::Context().WithTimeout(kLimit)));
  if (result.exit.code != 0) return Fail(Code::kInternal, type, " ", command, ": ", result.output, result.errors);
  return result.output;
}

json PluginsOf(const std::string& list) {
  json root = json::parse(list);
  for (json& plugin : root["plugins"]) {
    plugin["name"] = root["name"];
    plugin["cniVersion"] = root["cniVersion"];
    plugin["runtimeConfig"]["portMappings"] = json::array();
  }
  return root["plugins"];
}

}  // namespace

Status CniAdd(const std::string& list, const std::string& id, const Path& netns) {
  json previous;
  for (json& plugin : PluginsOf(list)) {
    if (!previous.is_null()) plugin["prevResult"] = previous;
    ASSIGN_OR_RETURN(const std::string output, RunPlugin("ADD", plugin, id, netns));
    previous = json::parse(output);
  }
  return {};
}

Status CniDel(const std::string& list, const std::string& id, const Path& netns) {
  const json plugins = PluginsOf(list);
  for (auto plugin = plugins.rbegin(); plugin != plugins.rend(); ++plugin) {
    RETURN_IF_ERROR(RunPlugin("DEL", *plugin, id, netns));
  }
  return {};
}

Status AddNetns(const std::string& name) {
  return RunQuietly("/usr/sbin/ip", {"ip", "netns", "add", name});
}
Status DeleteNetns(const std::string& name) {
  return RunQuietly("/usr/sbin/ip", {"ip", "netns", "delete", name});
}

Status BareContainer::Prepare(const Path& like, const std::string& id) {
  id_ = id;
  RETURN_IF_ERROR(base::MakeDirs(folder_ / "bundle"));
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(like / "config.json"));
  json spec = json::parse(text);
  spec["linux"]["cgroupsPath"] = spec["linux"]["cgroupsPath"].get<std::string>() + "-bare";
  return base::WriteFile(folder_ / "bundle/config.json", spec.dump());
}

Status BareContainer::Run(std::vector<std::string> arguments) {
  std::vector<std::string> all{runtime_.filename().native(), "--root", (folder_ / "root").native()};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return RunQuietly(runtime_, std::move(all));
}

Status BareContainer::Create() {
  return Run({"create", "--bundle", (folder_ / "bundle").native(), "--pid-file", (folder_ / "pid").native(), id_});
}
Status BareContainer::Start() {
  return Run({"start", id_});
}

Status BareContainer::Delete() {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(folder_ / "pid"));
  ASSIGN_OR_RETURN(const base::UniqueFd process,
                   base::OpenPidfd(static_cast<pid_t>(base::ParseInt(base::Trim(text)).value_or(0))));
  RETURN_IF_ERROR(base::SignalPidfd(process.get(), SIGKILL));
  RETURN_IF_ERROR(base::Context().WithTimeout(kLimit).Wait(process.get(), POLLIN, "the container's end"));
  return Run({"delete", id_});
}

Status RunQuietly(const Path& program, std::vector<std::string> arguments) {
  const std::string what = Cat(arguments[0], " ", arguments.size() > 1 ? arguments.back() : "");
  ASSIGN_OR_RETURN(base::Child child,
                   base::Spawn({.program = program, .arguments = std::move(arguments), .environment = kEnvironment}));
  ASSIGN_OR_RETURN(const base::ExitStatus exit, child.Wait(base::Context().WithTimeout(kLimit), what));
  if (exit.code != 0) return Fail(Code::kInternal, what, ": ", exit.Text());
  return {};
}

}  // namespace berth::bench
