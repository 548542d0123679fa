// Network::Status: is the network usable, and why not.
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "json/json.h"
#include "network/network.h"
#include "network/version.h"

namespace berth::network {
namespace {

using base::Code;
using base::Fail;

constexpr std::chrono::seconds kAnswerTime{10};  // for a plugin's answer to VERSION or STATUS
constexpr size_t kKnownBinaries = 256;

// Changes when the binary is replaced, in place or by rename.
std::string Identity(const base::Path& binary) {
  struct stat status {};
  // When it has gone in the meantime, running it says so.
  if (stat(binary.c_str(), &status) != 0) return binary.native();
  return base::Cat(binary.native(), "|", status.st_dev, "|", status.st_ino, "|", status.st_size, "|",
                   status.st_mtim.tv_sec, ".", status.st_mtim.tv_nsec);
}

}  // namespace

base::Status Network::Status(const base::Context& context) {
  const auto loaded = config();
  if (!loaded->list) return tl::make_unexpected(NotConfigured(*loaded));
  {
    auto readiness = readiness_.Lock();
    const bool same = readiness->config == loaded;
    if (same && base::Monotonic::now() < readiness->until) return readiness->answer;
    // Only the binaries may have changed; then the last answer is still the best one.
    const bool same_list = readiness->config && readiness->config->list->text == loaded->list->text;
    if (readiness->asking) {
      return same_list ? readiness->answer
                       : base::Status(Fail(Code::kUnavailable, "the CNI configuration has just changed"));
    }
    if (!same_list) readiness->answer = Fail(Code::kUnavailable, "the CNI plugins have not answered yet");
    readiness->config = loaded;
    readiness->until = {};
    readiness->asking = true;
  }
  base::Status answer = Ask(*loaded->list, context);
  // That the asker left says nothing about the network: the next one asks again.
  const bool left = !answer && !context.Check("status");
  auto readiness = readiness_.Lock();
  readiness->asking = false;
  if (left) return answer;
  readiness->answer = answer;
  readiness->until = base::Monotonic::now() + options_.status_age;
  return answer;
}

base::Status Network::Ask(const ConfigList& list, const base::Context& context) {
  for (const PluginConfig& plugin : list.plugins)
    RETURN_IF_ERROR(CheckVersion(list, plugin, context), "network ", list.name);
  if (!AtLeast(list.version, "1.1.0")) return {};
  const Observer nobody;
  ListRun run = RunOf(list, nobody);
  run.plugin_timeout = std::min<std::chrono::milliseconds>(run.plugin_timeout, kAnswerTime);
  RETURN_IF_ERROR(run.AskStatus(context), "network ", list.name);
  return {};
}

base::Status Network::CheckVersion(const ConfigList& list, const PluginConfig& plugin, const base::Context& context) {
  ASSIGN_OR_RETURN(const base::Path binary, runner_->Find(plugin.type));
  const std::string identity = Identity(binary);
  auto known = versions_.With([&](const Versions& versions) -> std::optional<std::vector<std::string>> {
    const auto found = versions.find(identity);
    return found == versions.end() ? std::nullopt : std::optional(found->second);
  });
  if (!known) {
    const auto limit = std::min<std::chrono::milliseconds>(options_.plugin_timeout, kAnswerTime);
    ASSIGN_OR_RETURN(
        const std::string answer,
        runner_->Exec(plugin.type, "VERSION", {}, base::Cat("{\"cniVersion\":\"", SpecVersions().back(), "\"}"),
                      context.WithTimeout(limit)));
    const auto document = json::Parse(answer, "version");
    auto supported = document ? json::Strings(*document, "supportedVersions", "version")
                              : base::Result<std::vector<std::string>>(tl::make_unexpected(document.error()));
    // One that answers something else is left the benefit of the doubt; ADD will tell.
    known = supported ? *std::move(supported) : std::vector<std::string>();
    versions_.With([&](Versions& versions) {
      if (versions.size() >= kKnownBinaries) versions.clear();
      versions[identity] = *known;
    });
  }
  if (known->empty() || std::ranges::find(*known, list.version) != known->end()) return {};
  return Fail(Code::kUnavailable, "plugin ", plugin.type, " does not support CNI version ", list.version, ", only ",
              base::Join(*known, ", "));
}

}  // namespace berth::network
