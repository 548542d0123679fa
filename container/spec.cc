#include "container/spec.h"

#include <algorithm>
#include <filesystem>
#include <initializer_list>

#include "base/strings.h"
#include "container/apparmor.h"
#include "container/capabilities.h"
#include "container/cdi.h"
#include "container/devices.h"
#include "container/limits.h"
#include "container/process.h"
#include "container/seccomp.h"
#include "container/selinux.h"
#include "container/text_check.h"
#include "cri-proto/api.pb.h"
#include "kernel/limits.h"

namespace berth::container {
namespace {

using base::Code;
using base::Fail;

// What the kubelet sends for procMount Default; used when a request has no security context at all.
std::vector<std::string> DefaultMaskedPaths() {
  std::vector<std::string> out = {"/proc/asound",     "/proc/acpi",        "/proc/interrupts",
                                  "/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
                                  "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
                                  "/proc/scsi",       "/sys/firmware",     "/sys/devices/virtual/powercap"};
  // Temperatures tell of what others compute.
  const base::Path processors = "/sys/devices/system/cpu";
  auto names = base::ListFolder(processors);
  if (!names) return out;
  std::sort(names->begin(), names->end());
  for (const std::string& name : *names) {
    const base::Path path = processors / name / "thermal_throttle";
    if (name.starts_with("cpu") && base::Exists(path)) out.push_back(path.native());
  }
  return out;
}
std::vector<std::string> DefaultReadonlyPaths() {
  return {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
}

base::Status CheckNamespaces(const cri::NamespaceOption& wanted, const cri::NamespaceOption& pod) {
  if (wanted.network() != pod.network())
    return Fail(Code::kInvalidArgument, "namespace_options.network differs from the pod's");
  if (wanted.ipc() != pod.ipc()) return Fail(Code::kInvalidArgument, "namespace_options.ipc differs from the pod's");
  // What is unknown here would leave the container in the host's.
  if (!cri::NamespaceMode_IsValid(wanted.pid())) {
    return Fail(Code::kInvalidArgument, "namespace_options.pid ", static_cast<int>(wanted.pid()), " is unknown");
  }
  if (wanted.pid() == cri::POD && pod.pid() != cri::POD) {
    return Fail(Code::kInvalidArgument, "namespace_options.pid is POD, but the pod shares no pid namespace");
  }
  if (wanted.pid() == cri::NODE && pod.pid() != cri::NODE) {
    return Fail(Code::kInvalidArgument, "namespace_options.pid is NODE, but not the pod's");
  }
  if (wanted.pid() == cri::TARGET && wanted.target_id().empty()) {
    return Fail(Code::kInvalidArgument, "namespace_options.target_id is missing");
  }
  if (wanted.pid() != cri::TARGET && !wanted.target_id().empty()) {
    return Fail(Code::kInvalidArgument, "namespace_options.target_id is for pid TARGET alone");
  }
  // Absent is the host's.
  const auto host = [](const cri::NamespaceOption& option) {
    return !option.has_userns_options() || option.userns_options().mode() == cri::NODE;
  };
  const bool differ = host(wanted) != host(pod) || (!host(wanted) && wanted.userns_options().SerializeAsString() !=
                                                                         pod.userns_options().SerializeAsString());
  if (differ) return Fail(Code::kInvalidArgument, "namespace_options.userns_options differ from the pod's");
  return {};
}

base::Status CheckSecurity(const cri::LinuxContainerSecurityContext& security, const Pod& pod) {
  const auto& pod_security = pod.config->linux().security_context();
  if (security.privileged() && !pod_security.privileged()) {
    return Fail(Code::kInvalidArgument, "no privileged container allowed in a sandbox that is not privileged");
  }
  if (security.has_namespace_options()) {
    RETURN_IF_ERROR(CheckNamespaces(security.namespace_options(), pod_security.namespace_options()));
  }
  RETURN_IF_ERROR(CheckSelinux(security.selinux_options()));
  // Runtimes leave out what they cannot find, without a word.
  for (const auto& [what, paths] :
       {std::pair("masked_paths", &security.masked_paths()), std::pair("readonly_paths", &security.readonly_paths())}) {
    for (const std::string& path : *paths) {
      if (!path.starts_with('/')) return Fail(Code::kInvalidArgument, what, ": \"", path, "\" is not absolute");
    }
  }
  RETURN_IF_ERROR(MapApparmor(security, /*default_loads=*/true));
  return {};
}

std::vector<oci::Namespace> Namespaces(const SpecRequest& request) {
  const Pod& pod = request.pod;
  std::vector<oci::Namespace> out = {{"mount", ""}};
  if (pod.user_namespace) out.push_back({"user", pod.user_namespace->path.native()});
  if (!pod.net_namespace.empty()) out.push_back({"network", pod.net_namespace.native()});
  if (!pod.uts_namespace.empty()) out.push_back({"uts", pod.uts_namespace.native()});
  if (!pod.ipc_namespace.empty()) out.push_back({"ipc", pod.ipc_namespace.native()});
  switch (NamespacesOf(request.config, pod).pid()) {
    case cri::POD:
      out.push_back({"pid", pod.pid_namespace.native()});
      break;
    case cri::CONTAINER:
      out.push_back({"pid", ""});
      break;
    case cri::TARGET:
      out.push_back({"pid", request.target_namespace.native()});
      break;
    default:
      break;
  }
  return out;
}

base::Status CheckInside(const User& user, const Pod& pod) {
  if (!pod.user_namespace) return {};
  const auto refuse = [](std::string_view what, int64_t id, uint32_t size) {
    return Fail(Code::kInvalidArgument, what, " ", id, " is not in the pod's user namespace, which has those below ",
                size);
  };
  const kernel::UserMap& map = pod.user_namespace->map;
  if (user.uid >= map.uids.size) return refuse("user", user.uid, map.uids.size);
  for (const int64_t gid : user.groups) {
    if (gid >= map.gids.size) return refuse("group", gid, map.gids.size);
  }
  return {};
}

bool IsSystemdContainer(const oci::Process& process, const SpecOptions& options) {
  return options.handler.systemd_containers && IsSystemd(process.args.front());
}

base::Result<oci::Process> MapProcess(const SpecRequest& request, const SpecOptions& options) {
  const cri::ContainerConfig& config = request.config;
  const auto& security = config.linux().security_context();
  RETURN_IF_ERROR(CheckInside(request.user, request.pod));
  oci::Process process;
  process.terminal = config.tty();
  ASSIGN_OR_RETURN(process.args, Arguments(config, request.image));
  ASSIGN_OR_RETURN(process.env, Environment(config, request.image, request.pod.hostname, request.user.home));
  // systemd's own word for where it is.
  const bool said =
      std::ranges::any_of(process.env, [](const std::string& entry) { return entry.starts_with("container="); });
  if (IsSystemdContainer(process, options) && !said) process.env.emplace_back("container=oci");
  ASSIGN_OR_RETURN(process.cwd, WorkingDirectory(config, request.image));
  process.uid = static_cast<uint32_t>(request.user.uid);
  process.gid = static_cast<uint32_t>(request.user.gid);
  for (const int64_t group : request.user.groups) process.additional_gids.push_back(static_cast<uint32_t>(group));
  ASSIGN_OR_RETURN(process.capabilities,
                   MapCapabilities(security, options.default_capabilities, options.own_capabilities));
  process.rlimits = options.rlimits;
  process.no_new_privileges = security.no_new_privs();
  ASSIGN_OR_RETURN(process.apparmor_profile, MapApparmor(security, options.apparmor_default_loads));
  if (config.linux().has_resources()) {
    const int64_t wanted = config.linux().resources().oom_score_adj();
    if (wanted < -1000 || wanted > 1000)
      return Fail(Code::kInvalidArgument, "oom_score_adj ", wanted, " is out of range");
    process.oom_score_adj = static_cast<int>(wanted);
    if (options.clamp_oom_score_adj) {
      ASSIGN_OR_RETURN(process.oom_score_adj, kernel::ClampOomScoreAdj(static_cast<int>(wanted)));
    }
  }
  return process;
}

// What a runtime is told beside the specification: from the operator, then from the request as far as the operator
// allows it (nothing else there changes what is done), then what is always so.
void Annotate(const SpecRequest& request, const Handler& handler, bool cgroup_v2, oci::Spec& spec) {
  const auto& metadata = request.pod.config->metadata();
  spec.annotations = {
      // With systemd a container is ended like a service when the node goes down, in time for its monitor to note how:
      // without these
      // it is met by the last sweep over all processes, which waits 90 s for one that ignores SIGTERM.
      {"org.systemd.property.DefaultDependencies", "true"},
      {"org.systemd.property.TimeoutStopUSec", "uint64 10000000"},
  };
  // crun 1.8 tells systemd the weight alone, and systemd takes the rest back at its next reload.
  if (cgroup_v2) {
    for (const auto& [limit, value] : UnitLimits(spec.resources))
      spec.annotations["org.systemd.property." + limit] = base::Cat("uint64 ", value);
  }
  for (const auto& [key, value] : handler.annotations) spec.annotations[key] = value;
  for (const auto* given : {&request.pod.config->annotations(), &request.config.annotations()}) {
    for (const auto& [key, value] : *given) {
      if (handler.Allows(key)) spec.annotations[key] = value;
    }
  }
  const std::initializer_list<std::pair<const char*, std::string>> fixed = {
      {"io.kubernetes.cri.container-type", "container"},
      {"io.kubernetes.cri.container-name", request.config.metadata().name()},
      {"io.kubernetes.cri.image-name", request.image_name},
      {"io.kubernetes.cri.sandbox-id", request.pod.id},
      {"io.kubernetes.cri.sandbox-name", metadata.name()},
      {"io.kubernetes.cri.sandbox-namespace", metadata.namespace_()},
      {"io.kubernetes.cri.sandbox-uid", metadata.uid()},
      // crun: no group of its own making below the scope, so that a container's cgroup is where every other runtime has
      // it.
      {"run.oci.systemd.subgroup", ""},
  };
  for (const auto& [key, value] : fixed) spec.annotations[key] = value;
}

}  // namespace

const cri::NamespaceOption& NamespacesOf(const cri::ContainerConfig& config, const Pod& pod) {
  const auto& own = config.linux().security_context();
  return own.has_namespace_options() ? own.namespace_options()
                                     : pod.config->linux().security_context().namespace_options();
}

base::Status CheckConfig(const cri::ContainerConfig& config, const Pod& pod) {
  if (config.has_windows()) return Fail(Code::kInvalidArgument, "config.windows: this node runs Linux containers");
  if (config.metadata().name().empty()) return Fail(Code::kInvalidArgument, "config.metadata.name is missing");
  if (config.image().image().empty()) return Fail(Code::kInvalidArgument, "config.image is missing");
  RETURN_IF_ERROR(CheckTexts(config, "config"));
  if (auto devices = CdiNames(config); !devices) return tl::make_unexpected(std::move(devices).error());
  const base::Path log_path = base::Path(config.log_path()).lexically_normal();
  if (log_path.is_absolute() || (!log_path.empty() && *log_path.begin() == "..")) {
    return Fail(Code::kInvalidArgument, "log_path \"", config.log_path(), "\" leaves the log directory");
  }
  return CheckSecurity(config.linux().security_context(), pod);
}

base::Result<oci::Spec> BuildSpec(const SpecRequest& request, const SpecOptions& options, kernel::ForeignPaths& paths,
                                  const base::Context& context) {
  const cri::ContainerConfig& config = request.config;
  const auto& security = config.linux().security_context();
  oci::Spec spec;
  spec.oci_version = options.oci_version;
  ASSIGN_OR_RETURN(spec.process, MapProcess(request, options));
  spec.root_path = request.rootfs.native();
  spec.root_readonly = security.readonly_rootfs();
  MountOptions mount_options = options.mounts;
  mount_options.systemd = IsSystemdContainer(spec.process, options);
  ASSIGN_OR_RETURN(MountPlan mounts, MapMounts(config, request.pod, mount_options, paths, context));
  spec.mounts = std::move(mounts.mounts);
  spec.rootfs_propagation = std::move(mounts.rootfs_propagation);
  spec.namespaces = Namespaces(request);
  if (request.pod.user_namespace) {
    const auto mapping = [](kernel::IdRange range) {
      return std::vector<oci::IdMapping>{{.container_id = 0, .host_id = range.host, .size = range.size}};
    };
    spec.uid_mappings = mapping(request.pod.user_namespace->map.uids);
    spec.gid_mappings = mapping(request.pod.user_namespace->map.gids);
  }
  if (options.resources.cgroup_v2 && !security.privileged()) spec.namespaces.push_back({"cgroup", ""});
  spec.cgroups_path = request.cgroups_path;
  ASSIGN_OR_RETURN(spec.resources, MapResources(config.linux().resources(), options.resources));
  // What a new group has anyway; crun 1.8 fails to write it on cgroup v1.
  if (spec.resources.cpu_quota == -1) spec.resources.cpu_quota.reset();
  ASSIGN_OR_RETURN(DevicePlan devices,
                   MapDevices(config, paths, context,
                              {.without_host_devices = options.handler.privileged_without_host_devices,
                               .owner_from_security_context = options.device_owner_from_security_context}));
  spec.devices = std::move(devices.devices);
  spec.resources.devices = std::move(devices.rules);
  if (!security.privileged()) {
    ASSIGN_OR_RETURN(spec.seccomp, MapSeccomp(security, spec.process.capabilities.bounding));
    const bool given = config.linux().has_security_context();
    const auto list = [](const auto& paths_given) {
      return std::vector<std::string>(paths_given.begin(), paths_given.end());
    };
    spec.masked_paths = given ? list(security.masked_paths()) : DefaultMaskedPaths();
    spec.readonly_paths = given ? list(security.readonly_paths()) : DefaultReadonlyPaths();
  }
  spec.process.selinux_label = request.labels.process;
  spec.mount_label = request.labels.files;
  Annotate(request, options.handler, options.resources.cgroup_v2, spec);
  HookSubject subject{.command = spec.process.args.front(),
                      .annotations = {config.annotations().begin(), config.annotations().end()},
                      .has_bind_mounts = config.mounts_size() > 0};
  // The container's word counts more than its pod's.
  subject.annotations.insert(request.pod.config->annotations().begin(), request.pod.config->annotations().end());
  if (options.hooks != nullptr) RETURN_IF_ERROR(options.hooks->AddTo(subject, spec.hooks));
  return spec;
}

}  // namespace berth::container
