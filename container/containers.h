// The containers of this node: their life cycle from CreateContainer to RemoveContainer, and over restarts of the
// daemon.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "base/child.h"
#include "base/context.h"
#include "base/executor.h"
#include "base/guarded.h"
#include "base/result.h"
#include "conmon/client.h"
#include "container/apparmor_default.h"
#include "container/cdi.h"
#include "container/container.h"
#include "container/exit_watch.h"
#include "container/handler.h"
#include "container/pod.h"
#include "container/spec.h"
#include "cri-proto/cri.h"
#include "image/store.h"
#include "kernel/cgroup.h"
#include "kernel/cgroup_change.h"
#include "kernel/foreign_path.h"
#include "kernel/project_quota.h"
#include "kernel/systemd.h"
#include "oci/runtime.h"
#include "state/ledger.h"
#include "state/leftovers.h"
#include "state/operations.h"
#include "state/store.h"
#include "state/timelines.h"

namespace berth::container {

using Runtimes = std::map<std::string, std::shared_ptr<oci::Runtime>>;  // by handler name

// Everything that containers stand on. Pointers are not owned and outlive the Containers.
struct Parts {
  base::Path state_folder;    // <state root>/containers
  base::Path run_folder;      // <run root>/containers
  base::Path trash_folder;    // <state root>/trash: what is removed without anybody waiting
  base::Path monitor;         // the berth-monitor binary
  base::Path monitor_parent;  // cgroup that monitors get theirs in; empty: the pod's
  std::string boot_id;
  bool same_boot = true;  // the run root belongs to this boot
  bool systemd_cgroup = false;
  SpecOptions spec;
  const CdiDevices* cdi = nullptr;
  std::map<std::string, Handler> handlers;  // by name; one that is missing has no options
  uint32_t log_line_limit = 16384;
  std::chrono::milliseconds drain{2000};      // output still read after a process's end
  std::chrono::milliseconds exec_drain{500};  // the same of ExecSync
  std::chrono::nanoseconds create_timeout{std::chrono::minutes(4)};
  size_t exec_output_limit = (16 << 20) - (64 << 10);  // bytes of stdout and stderr together
  kernel::CgroupTree* cgroups = nullptr;
  const kernel::Systemd* systemd = nullptr;  // used with systemd_cgroup
  ApparmorDefault* apparmor = nullptr;
  kernel::ForeignPaths* paths = nullptr;
  kernel::ProjectQuota* quota = nullptr;  // nullptr: the state folder's file system has none
  image::Store* images = nullptr;
  state::LeftoverQueue* leftovers = nullptr;
  const state::Undoers* undoers = nullptr;
  const state::Timelines* timelines = nullptr;
  const Runtimes* runtimes = nullptr;
  std::function<bool()> has_criu;     // asked when it is needed: it may be installed meanwhile
  base::Executor* work = nullptr;     // bodies of operations
  base::Executor* disk = nullptr;     // what those wait for: records and exits
  base::Executor* stops = nullptr;    // one thread for each container that is being stopped
  base::Executor* removal = nullptr;  // deleting trees
  // state::Store::Options: may only note the change.
  std::function<void(const std::shared_ptr<const Container>& before, const std::shared_ptr<const Container>& after)>
      changed = nullptr;
  boost::asio::io_context* loop = nullptr;
};

struct ExecResult {
  int32_t exit_code = 0;
  std::string output;
  std::string errors;
};

struct ExecStreams {
  bool terminal = false;
  bool input = false;
  bool output = false;
  bool errors = false;
};

// A process that the runtime has started, or could not: its end tells (ExecCode of exec_files.h, with `what`). Our ends
// of its streams are non-blocking; with a terminal `input` and `output` are its master.
struct StartedExec {
  base::Child child;
  base::UniqueFd input;
  base::UniqueFd output;
  base::UniqueFd errors;
  base::UniqueFd process_file;  // both are read through our descriptors
  base::UniqueFd runtime_log;
  std::string what;
};

// Containers share the layout with the established runtimes: "<parent>/<prefix>-<id>", or systemd's three-part form,
// which stands for a scope "<prefix>-<id>.scope" in the slice that is the parent's last part.
std::string CgroupsPath(const std::string& parent, const std::string& prefix, const std::string& id, bool systemd);

// The undoers of what containers write into their ledgers: "oci", "mount", "cgroup", "folder". The target of "cgroup"
// is what kernel::ResolveCgroup takes; a scope is systemd's to remove.
state::Undoers ContainerUndoers(const Runtimes& runtimes, const kernel::CgroupTree& cgroups,
                                const kernel::Systemd& systemd);

// Thread-safe. Calls that can wait take the caller's context and block; those that change a container join each other
// (state::Operations). Ids may be unique prefixes: kNotFound, kInvalidArgument when ambiguous.
class Containers {
 public:
  explicit Containers(Parts parts);
  ~Containers();

  // Restores what a former daemon left. Once, before any other call and before the event loop runs. Problems are told
  // through `report`, one sentence each; nothing but an unusable folder is fatal.
  base::Status Recover(const std::function<void(const std::string&)>& report);

  // "join that call and return its result (same request); ALREADY_EXISTS only for a different request under the same
  // name": the same request for a container that is still created gets its id. Returns the id.
  base::Result<std::string> Create(const cri::ContainerConfig& config, const Pod& pod,
                                   const std::string& request_digest, const base::Context& context);
  // kFailedPrecondition unless created. A process that cannot be started leaves the container exited with code 128,
  // reason StartError.
  base::Status Start(const std::string& id, const base::Context& context);
  // Success once it is exited and its status final; unknown ids and exited containers at once. The stop signal is sent
  // once; of several calls the earliest deadline kills. A caller that leaves does not end the grace.
  base::Status Stop(const std::string& id, std::chrono::nanoseconds grace, const base::Context& context);
  // Kills when needed. Unknown is success.
  base::Status Remove(const std::string& id, const base::Context& context);
  // Fields that are zero are left alone. Created or running, else kFailedPrecondition; all of it or nothing. Durable,
  // and seen in config.linux.resources, before it returns.
  base::Status UpdateResources(const std::string& id, const cri::LinuxContainerResources& update,
                               const base::Context& context);
  base::Status ReopenLog(const std::string& id, const base::Context& context);
  // Writes an archive (checkpoint_archive.h) at the absolute path `location`, where nothing may be; the container runs
  // on. Durable, and there in one piece or not at all. timeout 0: the operation's own.
  base::Status Checkpoint(const std::string& id, const base::Path& location, std::chrono::nanoseconds timeout,
                          const base::Context& context);
  // timeout 0: none. kDeadlineExceeded when it strikes.
  base::Result<ExecResult> ExecSync(const std::string& id, const std::vector<std::string>& command,
                                    std::chrono::nanoseconds timeout, const base::Context& context);
  // Returns when the process has its streams. kFailedPrecondition unless the container runs.
  base::Result<StartedExec> ExecStart(const std::string& id, const std::vector<std::string>& command,
                                      const ExecStreams& streams, const base::Context& context);
  // The monitor's attach descriptor (conmon/protocol.h), non-blocking. The container is created or runs.
  base::Result<base::UniqueFd> Attach(const std::string& id, const ExecStreams& streams, const base::Context& context);
  base::Status ResizeTerminal(const std::string& id, uint16_t columns, uint16_t rows, const base::Context& context);

  // For pods: all of a sandbox's containers, in parallel.
  base::Status StopAll(const std::string& sandbox_id, const base::Context& context);
  base::Status RemoveAll(const std::string& sandbox_id, const base::Context& context);

  // For the daemon's end: operations in flight are cancelled, grace periods given up (the containers run on), undoing
  // is left to the next start.
  void End();

  // Finished creations only. Never waits.
  std::vector<std::shared_ptr<const Container>> List() const;
  base::Result<std::shared_ptr<const Container>> Find(const std::string& id_or_prefix) const;
  // config.json as the runtime got it; kNotFound after a reboot.
  base::Result<std::string> RuntimeSpec(const std::string& id) const;

  size_t dirty() const { return store_.dirty(); }
  size_t RetryDirty() { return store_.RetryDirty(); }

 private:
  struct Live;
  struct Creation;
  using LivePtr = std::shared_ptr<Live>;

  base::Path StateFolder(const std::string& id) const { return parts_.state_folder / id; }
  base::Path RunFolder(const std::string& id) const { return parts_.run_folder / id; }
  base::Path Bundle(const std::string& id) const { return RunFolder(id) / "bundle"; }
  base::Path MonitorSocket(const std::string& id) const { return Bundle(id) / "monitor.sock"; }
  base::Path ExitFile(const std::string& id) const { return StateFolder(id) / "exit"; }
  base::Path UpdateFile(const std::string& id) const { return Bundle(id) / "update.json"; }  // while one is under way
  base::Path StartingFile(const std::string& id) const { return Bundle(id) / "starting"; }   // since when
  base::Path CheckpointFolder(const std::string& id) const {
    return StateFolder(id) / "checkpoint";
  }  // while one is written
  base::Path RestoreFolder(const std::string& id) const { return StateFolder(id) / "restore"; }
  base::Result<std::shared_ptr<oci::Runtime>> RuntimeOf(const std::string& handler) const;
  LivePtr FindLive(const std::string& id);
  base::Status Submit(std::function<void()> work) { return parts_.work->Submit(std::move(work)); }

  base::Result<std::string> CreateBody(const cri::ContainerConfig& config, const Pod& pod,
                                       const std::string& request_digest, const base::Context& context,
                                       state::Stage& stage);
  base::Status Build(Creation& creation, const base::Context& context, state::Stage& stage);
  base::Status PrepareRoot(Creation& creation, const base::Context& context, state::Stage& stage);
  void KeepVolumeLayers(Creation& creation);
  base::Status WriteBundle(Creation& creation, const base::Context& context);
  base::Status Launch(Creation& creation, const base::Context& context, state::Stage& stage);
  // `place`: of the monitor's cgroup, noted in the ledger.
  base::Result<conmon::Launched> RunMonitor(const Container& container, oci::Runtime& runtime, const std::string& place,
                                            const base::Context& context, state::Stage& stage);
  // The name of the image to begin with; of the one that a checkpoint was made from where the request names an archive.
  base::Result<std::string> OpenCheckpoint(Creation& creation, const base::Context& context);
  void CountUsage(const base::Path& upper, const base::Path& work);
  base::Status Unpack(Creation& creation, const std::vector<base::Path>& lower, const base::Context& context);
  base::Status FitCheckpoint(Creation& creation);
  base::Error Abandon(Creation& creation, base::Error cause);

  base::Status StartRestored(const std::string& id, oci::Runtime& runtime, const base::Context& context,
                             state::Stage& stage);
  base::Status CheckCriu(oci::Runtime& runtime, const base::Context& context) const;
  base::Status WriteCheckpoint(const Container& container, const base::Path& location, const base::Context& context,
                               state::Stage& stage);
  base::Result<std::string> StartBody(const std::string& id, const base::Context& context, state::Stage& stage);
  base::Result<std::string> RemoveBody(const std::string& id, const base::Context& context, state::Stage& stage);
  base::Status StartWithPipes(oci::Runtime& runtime, oci::ExecOptions options, const ExecStreams& streams,
                              const base::Context& context, StartedExec& out);
  base::Status StartInTerminal(oci::Runtime& runtime, oci::ExecOptions options, const base::Context& context,
                               StartedExec& out);
  base::Status Kill(const Container& container);
  base::Status SignalFirst(const Container& container, const LivePtr& live, int signal);
  base::Status SetLimits(const Container& container, const oci::Resources& limits, kernel::CgroupChange& change,
                         const base::Context& context);
  base::Status EndUpdate(const Container& container);  // one that a former daemon was killed in
  base::Status TellRuntimeLimits(const std::string& id);
  base::Status TellRuntime(const Container& container, const oci::Resources& limits, const base::Context& context);
  void RunStop(const std::string& id, const LivePtr& live, const std::string& request);
  base::Status WaitExited(const std::string& id, const LivePtr& live, const base::Context& context);
  void OnExit(const std::string& id, std::optional<conmon::ExitRecord> record);
  void SetExited(const std::string& id, Exit exit, base::Durability durability);
  void Discard(const std::string& id);  // state folder to the trash, layers let go

  void UndoBehind(const std::string& id, std::shared_ptr<state::Ledger> ledger, std::string why);
  int64_t ReadStarting(const std::string& id) const;  // 0: nobody has begun to start it
  base::Status FindOutStarted(const std::string& id, const std::string& runtime);
  base::Status RecoverOne(const std::string& id, const Container& container,
                          const std::function<void(const std::string&)>& report);

  const Parts parts_;
  const base::Context life_ = base::Context::Make();  // cancelled by End
  state::Store<Container> store_;
  state::Operations<std::string> operations_;
  base::Guarded<std::map<std::string, LivePtr>> live_;
  ExitWatch watch_;
};

}  // namespace berth::container
