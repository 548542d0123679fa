// The pod sandboxes of this node: from RunPodSandbox to RemovePodSandbox, and over restarts of the daemon.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "base/context.h"
#include "base/executor.h"
#include "base/result.h"
#include "container/containers.h"
#include "container/pod.h"
#include "cri-proto/cri.h"
#include "kernel/cgroup.h"
#include "kernel/foreign_path.h"
#include "kernel/systemd.h"
#include "network/network.h"
#include "sandbox/sandbox.h"
#include "sandbox/sysctls.h"
#include "state/leftovers.h"
#include "state/operations.h"
#include "state/store.h"
#include "state/timelines.h"

namespace berth::sandbox {

// Everything that sandboxes stand on. Pointers are not owned and outlive the Sandboxes.
struct Parts {
  base::Path state_folder;                                  // <state root>/sandboxes
  base::Path run_folder;                                    // <run root>/sandboxes
  base::Path netns_folder;                                  // /run/netns
  base::Path pause;                                         // the berth-pause binary
  base::Path helper;                                        // the berth-helper binary
  base::Path images_folder;                                 // the image store's
  std::function<bool()> maps_owners = [] { return true; };  // whether that can be mounted with mapped owners
  std::string boot_id;
  bool same_boot = true;  // the run root belongs to this boot
  bool systemd_cgroup = false;
  uint64_t shm_size = 64 << 20;
  Sysctls default_sysctls;
  std::string default_runtime;
  std::chrono::nanoseconds run_timeout{std::chrono::minutes(4)};
  kernel::CgroupTree* cgroups = nullptr;
  const kernel::Systemd* systemd = nullptr;  // used with systemd_cgroup
  kernel::ForeignPaths* paths = nullptr;
  network::Network* network = nullptr;
  container::Containers* containers = nullptr;
  const container::Runtimes* runtimes = nullptr;
  state::LeftoverQueue* leftovers = nullptr;
  const state::Undoers* undoers = nullptr;
  const state::Timelines* timelines = nullptr;
  base::Executor* work = nullptr;      // bodies of Run
  base::Executor* end_work = nullptr;  // bodies of Stop and Remove
  base::Executor* disk = nullptr;      // what those wait for: records
  boost::asio::io_context* loop = nullptr;
  // state::Store::Options: may only note the change.
  std::function<void(const std::shared_ptr<const Sandbox>& before, const std::shared_ptr<const Sandbox>& after)>
      changed = nullptr;
  std::function<void(const std::string& id)> ended;  // a pod is no longer ready, and says so; any thread, does not wait
};

// The undoers of what sandboxes write into their ledgers beside those of containers: "namespace", "cni", "cgroup
// parent", "slice".
state::Undoers SandboxUndoers(network::Network& network, const kernel::CgroupTree& cgroups,
                              const kernel::Systemd& systemd);

// Thread-safe. Calls that can wait take the caller's context and block; those on one pod join each other. Ids may be
// unique prefixes: kNotFound, kInvalidArgument when ambiguous.
class Sandboxes {
 public:
  explicit Sandboxes(Parts parts);
  ~Sandboxes();

  // Restores what a former daemon left, after the containers. Once, before any other call. Problems are told through
  // `report`, one sentence each; nothing but an unusable folder is fatal.
  base::Status Recover(const std::function<void(const std::string&)>& report);

  // The same request for a sandbox that is ready gets its id. Returns the id.
  base::Result<std::string> Run(const cri::PodSandboxConfig& config, const std::string& runtime_handler,
                                const std::string& request_digest, const base::Context& context);
  // Kills what runs in the pod and takes its network away. An error leaves it stoppable: call again. Unknown, or
  // stopped already, is success at once.
  base::Status Stop(const std::string& id, const base::Context& context);
  // Stops, removes the containers, then the sandbox. Unknown is success.
  base::Status Remove(const std::string& id, const base::Context& context);

  // For the daemon's end: operations in flight are cancelled, undoing is left to the next start.
  void End();

  // Finished creations only. Never waits.
  std::vector<std::shared_ptr<const Sandbox>> List() const;
  // Those that see to their own network's end after Recover: the known ones, and what is being undone behind.
  std::set<std::string> NetworksSeenTo() const;
  base::Result<std::shared_ptr<const Sandbox>> Find(const std::string& id_or_prefix) const;

  // For a container of this sandbox; kFailedPrecondition when it is not ready.
  base::Result<container::Pod> PodOf(const Sandbox& sandbox) const;
  // A TCP connection to a port of the pod's loopback, IPv4 before IPv6; non-blocking. Blocks until it stands.
  base::Result<base::UniqueFd> Connect(const std::string& id, uint16_t port, const base::Context& context);

  // Stores what the pod's limits and overhead have become; the pod's cgroup is the kubelet's. Durable. kNotFound.
  base::Status UpdateResources(const std::string& id, const cri::UpdatePodSandboxResourcesRequest& request);

  size_t dirty() const { return store_.dirty(); }
  size_t RetryDirty() { return store_.RetryDirty(); }

 private:
  struct Making;
  using LedgerPtr = std::shared_ptr<state::Ledger>;

  base::Path StateFolder(const std::string& id) const { return parts_.state_folder / id; }
  base::Path RunFolder(const std::string& id) const { return parts_.run_folder / id; }
  base::Path Files(const std::string& id) const { return RunFolder(id) / "files"; }
  base::Result<LedgerPtr> LoadLedger(const std::string& id, bool same_boot) const;
  LedgerPtr FindLedger(const std::string& id);
  base::Result<std::string> RunBody(const cri::PodSandboxConfig& config, const std::string& handler,
                                    const std::string& request_digest, const base::Context& context,
                                    state::Stage& stage);
  base::Status Build(Making& making, const base::Context& context, state::Stage& stage);
  base::Status MakeFiles(Making& making, const base::Context& context);
  base::Status MakeCgroup(Making& making, const base::Context& context);
  bool MadeByOurs(const std::string& parent, const base::Path& group);
  base::Status MakeNamespaces(Making& making);
  std::string SelinuxLabel(const cri::PodSandboxConfig& config);
  base::Status MakeShm(Making& making);
  base::Status MapOwners(Making& making);
  base::Status StartPause(Making& making, const base::Context& context);
  base::Status Attach(Making& making, const base::Context& context, state::Stage& stage);
  base::Error Abandon(Making& making, base::Error cause);

  base::Result<std::string> StopBody(const std::string& id, const base::Context& context, state::Stage& stage);
  base::Result<std::string> RemoveBody(const std::string& id, const base::Context& context, state::Stage& stage);
  base::Result<std::string> RunOperation(std::string_view verb, const std::string& id,
                                         base::Result<std::string> (Sandboxes::*body)(const std::string&,
                                                                                      const base::Context&,
                                                                                      state::Stage&),
                                         const base::Context& context);
  state::Undoers TimedUndoers(state::Stage& stage) const;
  static network::Observer CniSteps(state::Stage& stage);  // "cni ADD bridge"
  void SetNotReady(const std::string& id, bool with_address = true);
  void WatchPause(const std::string& id, base::UniqueFd pidfd);
  void Forget(const std::string& id);
  // What a former daemon did not finish: nobody knows of it.
  void UndoLater(const std::string& id, const LedgerPtr& ledger, std::string why);
  base::Status RecoverOne(const std::string& id, const Sandbox& sandbox,
                          const std::function<void(const std::string&)>& report);

  const Parts parts_;
  const base::Context life_ = base::Context::Make();  // cancelled by End
  state::Store<Sandbox> store_;
  state::Operations<std::string> operations_;
  std::set<std::string> networks_left_;  // by Recover, to the leftovers
  base::Guarded<std::map<std::string, LedgerPtr>> ledgers_;
};

}  // namespace berth::sandbox
