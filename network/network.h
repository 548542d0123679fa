// The pod network: one CNI configuration list, attached to each pod's network namespace as eth0.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/file.h"
#include "base/guarded.h"
#include "base/result.h"
#include "network/attach_request.h"
#include "network/attachment_cache.h"
#include "network/config_folder.h"
#include "network/former_plugins.h"
#include "network/list_run.h"
#include "network/plugin.h"
#include "network/result.h"

namespace berth::network {

struct Options {
  base::Path conf_dir = "/etc/cni/net.d";
  std::vector<base::Path> bin_dirs = {"/opt/cni/bin"};
  base::Path cache_dir =
      "/var/lib/berth/cni";  // attachments in `results/`, as libcni has them; the pod CIDR and a lock beside
  std::chrono::milliseconds plugin_timeout{std::chrono::seconds(60)};  // of each run of a plugin
  std::chrono::milliseconds status_age{std::chrono::seconds(5)};       // how long an answer of STATUS is used
  std::string default_network;                                         // name of the list to take; empty: the first
  IpPreference ip_preference = IpPreference::kIpv4;
  // Of the attachment's cache file after ADD. Volatile is enough when the caller's ledger holds the ADD durably.
  base::Durability cache_durability = base::Durability::kVolatile;
  // `held` is what plugins are to hold (FormerPlugins). Null: a ProcessRunner over bin_dirs.
  std::function<std::unique_ptr<PluginRunner>(int held)> runner;
};

// Thread-safe; pods are attached in parallel. Calls for one sandbox must not overlap: the caller's operations see to
// that.
class Network {
 public:
  // Makes the cache folder and reads the configuration once. A missing or broken configuration is no error here.
  static base::Result<std::unique_ptr<Network>> Open(Options options);

  // Runs ADD of the whole list. When that fails, or when the answer holds no address, what was done so far stands, and
  // Del undoes it: the caller has it in its ledger. kUnavailable when there is no usable configuration (the text is
  // that of Status) or a plugin's binary is missing, kAlreadyExists when the sandbox is attached. Costs the plugins,
  // two small files, no flush unless asked for.
  base::Result<Attachment> Add(const AttachRequest& request, const base::Context& context,
                               const Observer& observer = {});

  // Runs DEL with the configuration, arguments and result that ADD had; without those with today's configuration and
  // the request's arguments. Every plugin is tried, last first; the first error is returned. A missing namespace is
  // told to the plugins as an empty CNI_NETNS. Plugins that a former daemon left running are waited for. Safe to
  // repeat; success when there is neither cache nor configuration.
  base::Status Del(const AttachRequest& request, const base::Context& context, const Observer& observer = {});

  // Runs CHECK (needs an attachment and a list of at least 0.4.0, else kFailedPrecondition; success with disableCheck).
  base::Status Check(const AttachRequest& request, const base::Context& context, const Observer& observer = {});

  // Is the network usable? kUnavailable with a text for the NetworkReady condition when it is not. Answers from memory
  // except when a plugin binary is new (VERSION is asked once for each) or, for lists of at least 1.1.0, when the last
  // STATUS is older than status_age: one caller then waits for the plugins, the others get the last answer.
  base::Status Status(const base::Context& context);

  // Undoes the attachments that are not of `valid` sandboxes: DEL for those in the cache, then GC for lists of at least
  // 1.1.0. For the daemon's start, after every known sandbox is loaded and before pods are added: it must not overlap
  // Add, whose addresses it would take for left-overs. All is tried, the first error returned.
  base::Status Gc(const std::set<std::string>& valid, const base::Context& context);

  // UpdateRuntimeConfig: "10.0.0.0/24" or several with commas; "" is ignored. Kept over restarts. kInvalidArgument.
  base::Status SetPodCidr(std::string_view pod_cidr);

  // Reads the configuration anew; for ConfWatcher. Attached pods keep what they were added with. Reads small files.
  void Reload();

  // What is loaded now, never null. For Status's verbose info and the log.
  std::shared_ptr<const LoadedConfig> config() const;
  // Sandboxes with an attachment (or the intent of one) in the cache.
  base::Result<std::set<std::string>> Attached() const;

 private:
  struct Readiness {
    std::shared_ptr<const LoadedConfig> config;  // that `answer` is about; has a list
    base::Status answer;
    base::TimePoint until{};
    bool asking = false;
  };
  using Versions = std::map<std::string, std::vector<std::string>>;  // that a binary supports, by its identity

  Network(Options options, std::unique_ptr<FormerPlugins> former);
  base::Status FindPlugins(const ConfigList& list) const;  // all binaries are there
  ListRun RunOf(const ConfigList& list, const Observer& observer) const;
  base::Status DelCached(const CachedAttachment& attachment, const base::Path& netns, const base::Context& context,
                         const Observer& observer) const;
  base::Error NotConfigured(const LoadedConfig& loaded) const;
  base::Status Ask(const ConfigList& list, const base::Context& context);
  base::Status CheckVersion(const ConfigList& list, const PluginConfig& plugin, const base::Context& context);
  base::Path PodCidrFile() const { return options_.cache_dir / "pod_cidr"; }

  const std::unique_ptr<FormerPlugins> former_;
  const Options options_;
  const std::unique_ptr<PluginRunner> runner_;
  AttachmentCache cache_;
  mutable base::Guarded<std::shared_ptr<const LoadedConfig>> config_;
  base::Guarded<std::vector<std::string>> pod_cidrs_;
  base::Guarded<Readiness> readiness_;
  base::Guarded<Versions> versions_;
};

}  // namespace berth::network
