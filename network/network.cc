#include "network/network.h"

#include <arpa/inet.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "network/version.h"

namespace berth::network {
namespace {

using base::Code;
using base::Fail;

// The cache's file names are taken apart at '-'.
bool IsSandboxId(std::string_view id) {
  return IsNetworkName(id) && id.find('-') == std::string_view::npos;
}

// What plugins accept as a namespace; the empty file that a pin leaves behind is none.
bool IsNamespace(const base::Path& path) {
  struct statfs status {};
  if (path.empty() || statfs(path.c_str(), &status) != 0) return false;
  return status.f_type == NSFS_MAGIC || status.f_type == PROC_SUPER_MAGIC;
}

bool IsCidr(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return false;
  const std::string host(text.substr(0, slash));
  const auto bits = base::ParseInt(text.substr(slash + 1));
  in6_addr address{};
  if (!bits || *bits < 0) return false;
  return (inet_pton(AF_INET, host.c_str(), &address) == 1 && *bits <= 32) ||
         (inet_pton(AF_INET6, host.c_str(), &address) == 1 && *bits <= 128);
}

base::Result<std::vector<std::string>> ParseCidrs(std::string_view text) {
  std::vector<std::string> cidrs;
  for (const std::string_view part : base::Split(base::Trim(text), ',')) {
    const std::string_view cidr = base::Trim(part);
    if (!IsCidr(cidr)) return Fail(Code::kInvalidArgument, "pod CIDR: not a CIDR: ", cidr);
    cidrs.emplace_back(cidr);
    if (cidrs.size() > 16) return Fail(Code::kInvalidArgument, "pod CIDR: more than 16");
  }
  return cidrs;
}

}  // namespace

Network::Network(Options options, std::unique_ptr<FormerPlugins> former)
    : former_(std::move(former)),
      options_(std::move(options)),
      runner_(options_.runner ? options_.runner(former_->fd())
                              : std::make_unique<ProcessRunner>(options_.bin_dirs, former_->fd())),
      cache_(options_.cache_dir / "results") {}

base::Result<std::unique_ptr<Network>> Network::Open(Options options) {
  RETURN_IF_ERROR(base::MakeDirs(options.cache_dir / "results", 0700), "CNI cache");
  ASSIGN_OR_RETURN(auto former, FormerPlugins::Open({.file = options.cache_dir / "plugins.lock"}), "CNI cache");
  std::unique_ptr<Network> network(new Network(std::move(options), std::move(former)));
  if (const auto text = base::ReadFile(network->PodCidrFile(), 4096)) {
    // What we cannot read any more, the kubelet tells again when it starts.
    if (auto cidrs = ParseCidrs(*text)) *network->pod_cidrs_.Lock() = *std::move(cidrs);
  }
  network->Reload();
  return network;
}

void Network::Reload() {
  auto loaded = std::make_shared<const LoadedConfig>(LoadConfigFolder(options_.conf_dir, options_.default_network));
  *config_.Lock() = std::move(loaded);
}

std::shared_ptr<const LoadedConfig> Network::config() const {
  return *config_.Lock();
}

base::Error Network::NotConfigured(const LoadedConfig& loaded) const {
  return {.code = Code::kUnavailable, .message = loaded.reason};
}

ListRun Network::RunOf(const ConfigList& list, const Observer& observer) const {
  return {.runner = *runner_, .list = list, .plugin_timeout = options_.plugin_timeout, .observer = observer};
}

base::Status Network::FindPlugins(const ConfigList& list) const {
  for (const PluginConfig& plugin : list.plugins) RETURN_IF_ERROR(runner_->Find(plugin.type));
  return {};
}

base::Result<Attachment> Network::Add(const AttachRequest& request, const base::Context& context,
                                      const Observer& observer) {
  if (!IsSandboxId(request.sandbox_id)) return Fail(Code::kInvalidArgument, "not a sandbox id: ", request.sandbox_id);
  const auto loaded = config();
  if (!loaded->list) return tl::make_unexpected(NotConfigured(*loaded));
  const ConfigList& list = *loaded->list;
  // A missing binary is found before anything is done that the same missing binary could not undo.
  if (const auto there = FindPlugins(list); !there) {
    base::Error error = base::Wrap(there.error(), "network ", list.name);
    error.code = Code::kUnavailable;  // to the kubelet "not found" is about the sandbox
    return tl::make_unexpected(std::move(error));
  }
  if (cache_.Has(request.sandbox_id, list.name)) {
    return Fail(Code::kAlreadyExists, "network ", list.name, ": sandbox ", request.sandbox_id, " is attached");
  }
  const std::vector<std::string> cidrs = *pod_cidrs_.Lock();
  CachedAttachment cached{
      .sandbox_id = request.sandbox_id, .network = list.name, .config = list.text, .netns = request.netns};
  ASSIGN_OR_RETURN(cached.args, CniArgs(request));
  ASSIGN_OR_RETURN(cached.capability_args, CapabilityArgs(request, cidrs));
  ListRun run = RunOf(list, observer);
  run.sandbox_id = request.sandbox_id;
  run.netns = request.netns;
  run.args = cached.args;
  run.capability_args = cached.capability_args;

  RETURN_IF_ERROR(context.Check("CNI ADD"));

  // The intent: should we die in the middle, DEL knows what to undo and with which configuration.
  RETURN_IF_ERROR(cache_.Put(cached, base::Durability::kVolatile), "network ", list.name);
  ASSIGN_OR_RETURN(cached.result, run.Add(context), "network ", list.name);
  auto attachment = ParseResult(cached.result, list.version, options_.ip_preference);
  // Before the look at whether it is of use: DEL wants what ADD said.
  RETURN_IF_ERROR(cache_.Put(cached, options_.cache_durability), "network ", list.name);
  if (!attachment) return tl::make_unexpected(base::Wrap(std::move(attachment).error(), "network ", list.name));
  return attachment;
}

base::Status Network::Del(const AttachRequest& request, const base::Context& context, const Observer& observer) {
  if (!IsSandboxId(request.sandbox_id)) return Fail(Code::kInvalidArgument, "not a sandbox id: ", request.sandbox_id);
  const auto loaded = config();
  RETURN_IF_ERROR(former_->Wait(context));
  ASSIGN_OR_RETURN(const auto found, cache_.Find(request.sandbox_id, loaded->list ? loaded->list->name : ""),
                   "CNI cache");
  if (found.empty()) {
    // Without a cached intent, and with plugins that Add refuses to begin with, nothing was ever done.
    if (!loaded->list || !FindPlugins(*loaded->list)) return {};
    ListRun run = RunOf(*loaded->list, observer);
    run.sandbox_id = request.sandbox_id;
    if (IsNamespace(request.netns)) run.netns = request.netns;
    const std::vector<std::string> cidrs = *pod_cidrs_.Lock();
    auto args = CniArgs(request);
    if (!args) return {};  // the same of what no plugin can be told
    run.args = *std::move(args);
    ASSIGN_OR_RETURN(run.capability_args, CapabilityArgs(request, cidrs));
    RETURN_IF_ERROR(run.Del({}, context), "network ", loaded->list->name);
    return {};
  }
  base::Status first;
  for (const CachedAttachment& attachment : found) {
    auto status = DelCached(attachment, request.netns, context, observer);
    if (first && !status) first = std::move(status);
  }
  return first;
}

base::Status Network::DelCached(const CachedAttachment& attachment, const base::Path& netns,
                                const base::Context& context, const Observer& observer) const {
  const auto loaded = config();
  auto list = ParseConfigList(attachment.config, "cached configuration");
  // A torn file, or one of the old format, has no configuration: today's is the best guess.
  if (!list && loaded->list) list = *loaded->list;
  if (list) {
    ListRun run = RunOf(*list, observer);
    run.sandbox_id = attachment.sandbox_id;
    const base::Path known = netns.empty() ? base::Path(attachment.netns) : netns;
    if (IsNamespace(known)) run.netns = known;
    run.args = attachment.args;
    run.capability_args = attachment.capability_args;
    RETURN_IF_ERROR(run.Del(attachment.result, context), "network ", attachment.network);
  }
  return cache_.Remove(attachment);
}

base::Status Network::Check(const AttachRequest& request, const base::Context& context, const Observer& observer) {
  const auto loaded = config();
  ASSIGN_OR_RETURN(const auto found, cache_.Find(request.sandbox_id, loaded->list ? loaded->list->name : ""),
                   "CNI cache");
  if (found.empty() || found.front().config.empty() || found.front().result.empty()) {
    return Fail(Code::kFailedPrecondition, "sandbox ", request.sandbox_id, " has no network attachment to check");
  }
  const CachedAttachment& attachment = found.front();
  ASSIGN_OR_RETURN(const ConfigList list, ParseConfigList(attachment.config, "cached configuration"));
  if (list.disable_check) return {};
  if (!AtLeast(list.version, "0.4.0")) {
    return Fail(Code::kFailedPrecondition, "network ", list.name, ": version ", list.version, " has no CHECK");
  }
  ListRun run = RunOf(list, observer);
  run.sandbox_id = attachment.sandbox_id;
  run.netns = request.netns.empty() ? attachment.netns : request.netns.native();
  run.args = attachment.args;
  run.capability_args = attachment.capability_args;
  RETURN_IF_ERROR(run.Check(attachment.result, context), "network ", list.name);
  return {};
}

base::Status Network::Gc(const std::set<std::string>& valid, const base::Context& context) {
  ASSIGN_OR_RETURN(const auto attachments, cache_.List(), "CNI cache");
  base::Status first = cache_.RemoveTorn();
  for (const CachedAttachment& attachment : attachments) {
    if (valid.contains(attachment.sandbox_id)) continue;
    RETURN_IF_ERROR(former_->Wait(context));
    auto status = DelCached(attachment, {}, context, {});
    if (first && !status) first = std::move(status);
  }
  const auto loaded = config();
  if (!loaded->list || loaded->list->disable_gc || !AtLeast(loaded->list->version, "1.1.0")) return first;
  const Observer nobody;
  auto status = RunOf(*loaded->list, nobody).Gc(valid, context);
  if (first && !status)
    first = tl::make_unexpected(base::Wrap(std::move(status).error(), "network ", loaded->list->name));
  return first;
}

base::Status Network::SetPodCidr(std::string_view pod_cidr) {
  if (base::Trim(pod_cidr).empty()) return {};
  ASSIGN_OR_RETURN(const auto cidrs, ParseCidrs(pod_cidr));
  if (*pod_cidrs_.Lock() == cidrs) return {};
  RETURN_IF_ERROR(base::WriteFile(PodCidrFile(), base::Join(cidrs, ","), 0600, base::Durability::kDurable));
  *pod_cidrs_.Lock() = cidrs;
  return {};
}

base::Result<std::set<std::string>> Network::Attached() const {
  ASSIGN_OR_RETURN(const auto attachments, cache_.List(), "CNI cache");
  std::set<std::string> ids;
  for (const CachedAttachment& attachment : attachments) ids.insert(attachment.sandbox_id);
  return ids;
}

}  // namespace berth::network
