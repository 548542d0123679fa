// RunPodSandbox: files -> cgroup -> namespaces -> shm -> pause (shared pid namespace) -> CNI ADD beside the record's
// fsync.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "base/beside.h"
#include "base/strings.h"
#include "base/time.h"
#include "container/selinux.h"
#include "container/user_namespace.h"
#include "cri-proto/api.pb.h"
#include "kernel/mount.h"
#include "kernel/namespace.h"
#include "sandbox/attach.h"
#include "sandbox/check.h"
#include "sandbox/pause.h"
#include "sandbox/pod_files.h"
#include "sandbox/sandboxes.h"

namespace berth::sandbox {

using base::Code;
using base::Fail;

// What RunPodSandbox gathers on its way.
struct Sandboxes::Making {
  const cri::PodSandboxConfig& config;
  Sandbox sandbox{};
  LedgerPtr ledger{};
  base::Child pause{};

  bool user() const { return namespaces().has_userns_options() && namespaces().userns_options().mode() == cri::POD; }
  const cri::NamespaceOption& namespaces() const { return config.linux().security_context().namespace_options(); }
  // A file or folder of ours that the pod's containers get: it belongs to the pod's own root and has its label.
  base::Status HandOver(const base::Path& path) const;
};

base::Status Sandboxes::Making::HandOver(const base::Path& path) const {
  if (user()) {
    const kernel::UserMap map = UserMapOf(config);
    if (chown(path.c_str(), map.uids.host, map.gids.host) != 0) return base::FailErrno(errno, "chown ", path.native());
  }
  return container::SetLabel(path, container::FileLabel(sandbox.selinux_label));
}

base::Result<std::string> Sandboxes::Run(const cri::PodSandboxConfig& config, const std::string& runtime_handler,
                                         const std::string& request_digest, const base::Context& context) {
  RETURN_IF_ERROR(CheckConfig(config, parts_.systemd_cgroup));
  const std::string& runtime = runtime_handler.empty() ? parts_.default_runtime : runtime_handler;
  if (!parts_.runtimes->contains(runtime)) {
    return Fail(Code::kInvalidArgument, "no runtime handler \"", runtime_handler, "\" is configured");
  }
  const auto& metadata = config.metadata();
  const std::string name =
      base::Cat(metadata.namespace_(), "/", metadata.name(), "/", metadata.uid(), "/", metadata.attempt());
  auto request = std::make_shared<const std::pair<cri::PodSandboxConfig, std::string>>(config, runtime_handler);
  return operations_.Run({.key = "run/" + name,
                          .fingerprint = request_digest,
                          .what = "RunPodSandbox " + name,
                          .timeout = parts_.run_timeout,
                          .submit = [this](std::function<void()> work) { return parts_.work->Submit(std::move(work)); },
                          .body =
                              [this, request, request_digest](const base::Context& own, state::Stage& stage) {
                                return RunBody(request->first, request->second, request_digest, own, stage);
                              },
                          .abandoned =
                              [this](base::Result<std::string> late) {
                                if (late) (void)Remove(*late, life_.WithTimeout(parts_.run_timeout));
                              },
                          .finished = parts_.timelines->Keeper("RunPodSandbox", {}, context.id())},
                         context);
}

base::Result<std::string> Sandboxes::RunBody(const cri::PodSandboxConfig& config, const std::string& handler,
                                             const std::string& request_digest, const base::Context& context,
                                             state::Stage& stage) {
  const auto& metadata = config.metadata();
  const auto same = store_.Snapshot().FindIf([&](const std::string&, const Sandbox& other) {
    const auto& its = other.config->metadata();
    return !other.creating && its.name() == metadata.name() && its.namespace_() == metadata.namespace_() &&
           its.uid() == metadata.uid() && its.attempt() == metadata.attempt();
  });
  if (same) {
    if (same->request_digest == request_digest && same->state == State::kReady) return same->id;
    return Fail(Code::kAlreadyExists, "sandbox ", metadata.namespace_(), "/", metadata.name(), " attempt ",
                metadata.attempt(), " exists: ", same->id, " (", StateName(same->state), ")");
  }
  Making making{.config = config};
  Sandbox& sandbox = making.sandbox;
  sandbox.id = base::RandomId();
  sandbox.config = std::make_shared<const cri::PodSandboxConfig>(config);
  sandbox.request_digest = request_digest;
  sandbox.runtime_handler = handler;
  sandbox.runtime = handler.empty() ? parts_.default_runtime : handler;
  sandbox.boot_id = parts_.boot_id;
  sandbox.created_at = base::UnixNanos();
  sandbox.selinux_label = SelinuxLabel(config);
  sandbox.creating = true;
  ASSIGN_OR_RETURN(making.ledger, LoadLedger(sandbox.id, true));
  if (base::Status built = Build(making, context, stage); !built)
    return tl::make_unexpected(Abandon(making, std::move(built).error()));
  return sandbox.id;
}

// Each pod has a level of its own, so that none may touch what is another's.
std::string Sandboxes::SelinuxLabel(const cri::PodSandboxConfig& config) {
  const auto& security = config.linux().security_context();
  const auto& namespaces = security.namespace_options();
  if (!container::HasSelinux() || namespaces.pid() == cri::NODE || namespaces.ipc() == cri::NODE) return {};
  std::set<std::string> taken;
  for (const auto& [id, other] : store_.Snapshot()) taken.emplace(container::LevelOf(other.selinux_label));
  return container::ProcessLabel(security.selinux_options(), container::ChooseLevel(taken));
}

base::Status Sandboxes::Build(Making& making, const base::Context& context, state::Stage& stage) {
  Sandbox& sandbox = making.sandbox;
  stage.Enter("files");
  RETURN_IF_ERROR(MakeFiles(making, context));
  stage.Enter("cgroup");
  RETURN_IF_ERROR(MakeCgroup(making, context));
  stage.Enter("namespaces");
  RETURN_IF_ERROR(MakeNamespaces(making));
  if (making.namespaces().pid() == cri::POD) {
    stage.Enter("pause");
    RETURN_IF_ERROR(StartPause(making, context));
  }
  RETURN_IF_ERROR(context.Check("RunPodSandbox"));
  RETURN_IF_ERROR(Attach(making, context, stage));

  // Given up meanwhile: its name may be another's by now.
  RETURN_IF_ERROR(context.Check("RunPodSandbox"));
  stage.Enter("publish");
  ASSIGN_OR_RETURN(const std::string hosts, HostsFile(sandbox.hostname, sandbox.ips));
  const base::Path hosts_file = Files(sandbox.id) / "hosts";
  RETURN_IF_ERROR(base::WriteFile(hosts_file, hosts, 0644));
  RETURN_IF_ERROR(making.HandOver(hosts_file));
  ledgers_.With([&](auto& all) { all[sandbox.id] = making.ledger; });
  const auto publish = [&](const Sandbox&) -> base::Result<Sandbox> { return sandbox; };
  if (auto kept = store_.Update(sandbox.id, publish, state::Persist::kBestEffort); !kept)
    return tl::make_unexpected(kept.error());
  // After the whole record: a crash in between undoes what nobody was told of, instead of showing half of it.
  RETURN_IF_ERROR(making.ledger->Own());
  sandbox.creating = false;
  if (auto shown = store_.Update(sandbox.id, publish, state::Persist::kBestEffort); !shown)
    return tl::make_unexpected(shown.error());
  if (making.pause.pid() > 0) WatchPause(sandbox.id, making.pause.Release());
  return {};
}

base::Status Sandboxes::MakeFiles(Making& making, const base::Context& context) {
  Sandbox& sandbox = making.sandbox;
  const base::Path files = Files(sandbox.id);
  ASSIGN_OR_RETURN(sandbox.hostname, PodHostname(making.config));
  ASSIGN_OR_RETURN(const std::string resolv_conf, ResolvConf(making.config));
  RETURN_IF_ERROR(making.ledger->Intend({.kind = "folder", .target = files.native()}));
  RETURN_IF_ERROR(base::MakeDirs(files, 0711));
  RETURN_IF_ERROR(base::WriteFile(files / "hostname", sandbox.hostname + "\n", 0644));
  RETURN_IF_ERROR(base::WriteFile(files / "resolv.conf", resolv_conf, 0644));
  for (const char* name : {"hostname", "resolv.conf"}) RETURN_IF_ERROR(making.HandOver(files / name));
  if (!making.config.log_directory().empty()) {
    ASSIGN_OR_RETURN(const auto folder, parts_.paths->EnsureFolder(making.config.log_directory(), 0755, context),
                     "log_directory");
    if (folder.kind != kernel::ForeignPath::Kind::kFolder)
      return Fail(Code::kInvalidArgument, "log_directory: ", making.config.log_directory(), " is not a folder");
  }
  return {};
}

base::Status Sandboxes::MakeCgroup(Making& making, const base::Context& context) {
  Sandbox& sandbox = making.sandbox;
  sandbox.cgroup_parent = making.config.linux().cgroup_parent();
  if (sandbox.cgroup_parent.empty())
    sandbox.cgroup_parent = parts_.systemd_cgroup ? "system.slice" : "/berth/" + sandbox.id;
  ASSIGN_OR_RETURN(const base::Path group, kernel::ResolveCgroup(sandbox.cgroup_parent));
  if (parts_.cgroups->Exists(group) && !MadeByOurs(sandbox.cgroup_parent, group)) return {};  // the kubelet's
  if (parts_.systemd_cgroup) {
    // A scope would bring its slice into being, and nobody would ever end that.
    RETURN_IF_ERROR(making.ledger->Intend({.kind = "slice", .target = group.filename()}));
    return parts_.systemd->StartSlice(group.filename(), context);
  }
  // Others may use the same parent meanwhile: it is given up, never emptied.
  RETURN_IF_ERROR(making.ledger->Intend({.kind = "cgroup parent", .target = group.native()}));
  return parts_.cgroups->Create(group);
}

// Whether a pod that is still here made its parent: the last one below it removes it.
bool Sandboxes::MadeByOurs(const std::string& parent, const base::Path& group) {
  for (const auto& [id, other] : store_.Snapshot()) {
    if (other.cgroup_parent != parent) continue;
    const LedgerPtr ledger = FindLedger(id);
    const auto entries = ledger ? ledger->entries() : std::vector<state::Entry>();
    const auto makes = [&](const state::Entry& entry) {
      return (entry.kind == "cgroup parent" && entry.target == group.native()) ||
             (entry.kind == "slice" && entry.target == group.filename());
    };
    if (std::any_of(entries.begin(), entries.end(), makes)) return true;
  }
  return false;
}

base::Status Sandboxes::MakeNamespaces(Making& making) {
  Sandbox& sandbox = making.sandbox;
  const base::Path folder = RunFolder(sandbox.id);
  kernel::NamespaceRequest request{.hostname = sandbox.hostname};
  const auto pin = [&](const base::Path& path, base::Path& kept) -> base::Result<base::Path> {
    RETURN_IF_ERROR(making.ledger->Intend({.kind = "namespace", .target = path.native()}));
    kept = path;
    return path;
  };
  if (making.namespaces().network() == cri::POD) {
    ASSIGN_OR_RETURN(request.net, pin(parts_.netns_folder / ("berth-" + sandbox.id), sandbox.net_namespace));
    // "uts: follows network" (CRI API, NamespaceOption).
    ASSIGN_OR_RETURN(request.uts, pin(folder / "ns" / "uts", sandbox.uts_namespace));
  } else {
    request.hostname.clear();
    request.loopback_up = false;
  }
  if (making.namespaces().ipc() == cri::POD) {
    ASSIGN_OR_RETURN(request.ipc, pin(folder / "ns" / "ipc", sandbox.ipc_namespace));
  }
  ASSIGN_OR_RETURN(request.sysctls, SysctlsOf(making.config, parts_.default_sysctls));
  if (making.user()) {
    ASSIGN_OR_RETURN(request.user, pin(folder / "ns" / "user", sandbox.user_namespace));
    request.map = UserMapOf(making.config);
    request.helper = parts_.helper;
  }
  if (request.net || request.ipc || request.user) RETURN_IF_ERROR(kernel::CreateNamespaces(request));
  if (making.namespaces().ipc() == cri::POD) RETURN_IF_ERROR(MakeShm(making));
  if (making.user()) RETURN_IF_ERROR(MapOwners(making));
  return {};
}

base::Status Sandboxes::MakeShm(Making& making) {
  const base::Path shm = RunFolder(making.sandbox.id) / "shm";
  RETURN_IF_ERROR(making.ledger->Intend({.kind = "mount", .target = shm.native()}));
  RETURN_IF_ERROR(base::MakeDirs(shm, 0755));
  RETURN_IF_ERROR(kernel::MountTmpfs(shm, parts_.shm_size, 01777, {.no_suid = true, .no_dev = true, .no_exec = true}));
  return making.HandOver(shm);
}

// The pod's containers see images through one mount for all of them, where that can be; else each has copies made.
base::Status Sandboxes::MapOwners(Making& making) {
  const std::string& id = making.sandbox.id;
  RETURN_IF_ERROR(container::LetThrough(RunFolder(id)));
  if (!parts_.maps_owners()) return {};
  const base::Path images = RunFolder(id) / "images";
  RETURN_IF_ERROR(making.ledger->Intend({.kind = "mount", .target = images.native()}));
  RETURN_IF_ERROR(base::MakeDirs(images, 0700));
  return kernel::MountMapped(parts_.images_folder, images, making.sandbox.user_namespace);
}

base::Status Sandboxes::StartPause(Making& making, const base::Context& context) {
  Sandbox& sandbox = making.sandbox;
  const std::string path =
      container::CgroupsPath(sandbox.cgroup_parent, "berth-pause", sandbox.id, parts_.systemd_cgroup);
  ASSIGN_OR_RETURN(const base::Path group, kernel::ResolveCgroup(path));
  RETURN_IF_ERROR(making.ledger->Intend({.kind = "cgroup", .target = path}));
  const auto place = [&](pid_t pid) -> base::Status {
    if (parts_.systemd_cgroup) {
      return parts_.systemd->StartScope({.name = group.filename(),
                                         .slice = group.parent_path().filename(),
                                         .description = "First process of pod " + sandbox.id,
                                         .pid = pid},
                                        context);
    }
    RETURN_IF_ERROR(parts_.cgroups->Create(group));
    return parts_.cgroups->AddProcess(group, pid);
  };
  ASSIGN_OR_RETURN(Pause pause, LaunchPause(parts_.pause, sandbox.user_namespace, place));
  sandbox.pause = pause.process;
  // Pinned like the others: a path through /proc could lead to another process once this one has ended.
  const base::Path pinned = RunFolder(sandbox.id) / "ns" / "pid";
  RETURN_IF_ERROR(making.ledger->Intend({.kind = "namespace", .target = pinned.native()}));
  RETURN_IF_ERROR(base::WriteFile(pinned, ""));
  RETURN_IF_ERROR(kernel::BindMount(base::Cat("/proc/", pause.process.pid, "/ns/pid"), pinned));
  ASSIGN_OR_RETURN(const base::UniqueFd still, base::OpenProcess(pause.process.pid, pause.process.start_time));
  sandbox.pid_namespace = pinned;
  making.pause = std::move(pause.child);
  return {};
}

base::Status Sandboxes::Attach(Making& making, const base::Context& context, state::Stage& stage) {
  Sandbox& sandbox = making.sandbox;
  const bool attach = !sandbox.net_namespace.empty();
  const auto request = AttachRequestOf(sandbox);
  if (attach) RETURN_IF_ERROR(making.ledger->Intend(CniEntry(request)));
  // The one fsync of RunPodSandbox runs beside the plugins.
  base::Beside record(*parts_.disk, [this, ledger = making.ledger, copy = sandbox, attach]() -> base::Status {
    if (attach) RETURN_IF_ERROR(ledger->Sync());
    return store_.Insert(copy.id, copy, base::Durability::kDurable);
  });
  base::Status attached;
  if (attach) {
    stage.Enter("network");
    if (auto added = parts_.network->Add(request, context, CniSteps(stage))) {
      sandbox.ips = std::move(added->ips);
      sandbox.cni_result = std::move(added->result);
    } else {
      attached = tl::make_unexpected(std::move(added).error());
    }
  }
  if (attached) stage.Enter("record");
  base::Status written = record.Join();
  RETURN_IF_ERROR(std::move(attached));
  return written;
}

base::Error Sandboxes::Abandon(Making& making, base::Error cause) {
  const std::string& id = making.sandbox.id;
  // The caller's context may have ended; undoing has time of its own.
  const state::UndoReport undone = making.ledger->Undo(*parts_.undoers, life_.WithTimeout(std::chrono::minutes(2)));
  if (!undone.complete()) {
    if (!cause.clean_up.empty()) cause.clean_up += "; ";
    cause.clean_up += undone.Text();
    parts_.leftovers->Add(id, making.ledger, undone.Text());
  }
  if (base::Status erased = store_.Erase(id); !erased) cause.clean_up += erased.error().message;
  Forget(id);
  return cause;
}

}  // namespace berth::sandbox
