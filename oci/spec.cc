#include "oci/spec.h"

#include <nlohmann/json.hpp>

#include "json/json.h"

namespace berth::oci {
namespace {

using nlohmann::json;

template <typename T>
void Put(json& object, const char* key, const std::optional<T>& value) {
  if (value) object[key] = *value;
}
void Put(json& object, const char* key, const std::string& value) {
  if (!value.empty()) object[key] = value;
}
template <typename T>
void Put(json& object, const char* key, const std::vector<T>& values) {
  if (!values.empty()) object[key] = values;
}
void Put(json& object, const char* key, const std::map<std::string, std::string>& values) {
  if (!values.empty()) object[key] = values;
}
void Put(json& object, const char* key, json value) {
  if (!value.empty()) object[key] = std::move(value);
}

template <typename T, typename Fn>
json Array(const std::vector<T>& values, Fn&& convert) {
  json out = json::array();
  for (const T& value : values) out.push_back(convert(value));
  return out;
}

json Mappings(const std::vector<IdMapping>& mappings) {
  return Array(mappings, [](const IdMapping& mapping) {
    return json{{"containerID", mapping.container_id}, {"hostID", mapping.host_id}, {"size", mapping.size}};
  });
}

json ProcessJson(const Process& process) {
  json user = {{"uid", process.uid}, {"gid", process.gid}};
  Put(user, "additionalGids", process.additional_gids);
  Put(user, "umask", process.umask);
  const Capabilities& capabilities = process.capabilities;
  json out = {
      {"terminal", process.terminal},
      {"user", std::move(user)},
      {"args", process.args},
      {"env", process.env},
      {"cwd", process.cwd},
      {"capabilities",
       {{"bounding", capabilities.bounding},
        {"effective", capabilities.effective},
        {"permitted", capabilities.permitted},
        {"inheritable", capabilities.inheritable},
        {"ambient", capabilities.ambient}}},
      {"noNewPrivileges", process.no_new_privileges},
  };
  Put(out, "rlimits", Array(process.rlimits, [](const Rlimit& limit) {
        return json{{"type", limit.type}, {"hard", limit.hard}, {"soft", limit.soft}};
      }));
  Put(out, "apparmorProfile", process.apparmor_profile);
  Put(out, "selinuxLabel", process.selinux_label);
  Put(out, "oomScoreAdj", process.oom_score_adj);
  return out;
}

json MountJson(const Mount& mount) {
  json out = {{"destination", mount.destination}};
  Put(out, "type", mount.type);
  Put(out, "source", mount.source);
  Put(out, "options", mount.options);
  Put(out, "uidMappings", Mappings(mount.uid_mappings));
  Put(out, "gidMappings", Mappings(mount.gid_mappings));
  return out;
}

json DeviceJson(const Device& device) {
  json out = {{"type", device.type}, {"path", device.path}, {"major", device.major}, {"minor", device.minor}};
  Put(out, "fileMode", device.file_mode);
  Put(out, "uid", device.uid);
  Put(out, "gid", device.gid);
  return out;
}

json DeviceRuleJson(const DeviceRule& rule) {
  json out = {{"allow", rule.allow}, {"type", rule.type}, {"access", rule.access}};
  Put(out, "major", rule.major);
  Put(out, "minor", rule.minor);
  return out;
}

json BlockIoJson(const BlockIo& block_io) {
  const auto throttle = [](const ThrottleDevice& device) {
    return json{{"major", device.major}, {"minor", device.minor}, {"rate", device.rate}};
  };
  json out = json::object();
  Put(out, "weight", block_io.weight);
  Put(out, "throttleReadBpsDevice", Array(block_io.read_bps, throttle));
  Put(out, "throttleWriteBpsDevice", Array(block_io.write_bps, throttle));
  Put(out, "throttleReadIOPSDevice", Array(block_io.read_iops, throttle));
  Put(out, "throttleWriteIOPSDevice", Array(block_io.write_iops, throttle));
  return out;
}

json ResourcesJson(const Resources& resources) {
  json memory = json::object();
  Put(memory, "limit", resources.memory_limit);
  Put(memory, "reservation", resources.memory_reservation);
  Put(memory, "swap", resources.memory_swap);
  json cpu = json::object();
  Put(cpu, "shares", resources.cpu_shares);
  Put(cpu, "quota", resources.cpu_quota);
  Put(cpu, "period", resources.cpu_period);
  Put(cpu, "cpus", resources.cpuset_cpus);
  Put(cpu, "mems", resources.cpuset_mems);
  json pids = json::object();
  Put(pids, "limit", resources.pids_limit);

  json out = json::object();
  Put(out, "devices", Array(resources.devices, DeviceRuleJson));
  Put(out, "memory", std::move(memory));
  Put(out, "cpu", std::move(cpu));
  Put(out, "pids", std::move(pids));
  Put(out, "blockIO", BlockIoJson(resources.block_io));
  Put(out, "hugepageLimits", Array(resources.hugepage_limits, [](const HugepageLimit& limit) {
        return json{{"pageSize", limit.page_size}, {"limit", limit.limit}};
      }));
  Put(out, "unified", resources.unified);
  return out;
}

json SeccompRuleJson(const SeccompRule& rule) {
  json out = {{"names", rule.names}, {"action", rule.action}};
  Put(out, "errnoRet", rule.errno_ret);
  Put(out, "args", Array(rule.args, [](const SeccompArg& arg) {
        return json{{"index", arg.index}, {"value", arg.value}, {"valueTwo", arg.value_two}, {"op", arg.op}};
      }));
  return out;
}

json SeccompJson(const Seccomp& seccomp) {
  json out = {{"defaultAction", seccomp.default_action}};
  Put(out, "defaultErrnoRet", seccomp.default_errno_ret);
  Put(out, "architectures", seccomp.architectures);
  Put(out, "flags", seccomp.flags);
  Put(out, "listenerPath", seccomp.listener_path);
  Put(out, "listenerMetadata", seccomp.listener_metadata);
  Put(out, "syscalls", Array(seccomp.syscalls, SeccompRuleJson));
  return out;
}

constexpr std::pair<const char*, std::vector<Hook> Hooks::*> kStages[] = {{"prestart", &Hooks::prestart},
                                                                          {"createRuntime", &Hooks::create_runtime},
                                                                          {"createContainer", &Hooks::create_container},
                                                                          {"startContainer", &Hooks::start_container},
                                                                          {"poststart", &Hooks::poststart},
                                                                          {"poststop", &Hooks::poststop}};

json HooksJson(const Hooks& hooks) {
  const auto hook = [](const Hook& value) {
    json out = {{"path", value.path}};
    Put(out, "args", value.args);
    Put(out, "env", value.env);
    Put(out, "timeout", value.timeout);
    return out;
  };
  json out = json::object();
  for (const auto& [name, stage] : kStages) Put(out, name, Array(hooks.*stage, hook));
  return out;
}

json LinuxJson(const Spec& spec) {
  json out = json::object();
  Put(out, "namespaces", Array(spec.namespaces, [](const Namespace& space) {
        json entry = {{"type", space.type}};
        Put(entry, "path", space.path);
        return entry;
      }));
  Put(out, "uidMappings", Mappings(spec.uid_mappings));
  Put(out, "gidMappings", Mappings(spec.gid_mappings));
  Put(out, "devices", Array(spec.devices, DeviceJson));
  Put(out, "cgroupsPath", spec.cgroups_path);
  Put(out, "resources", ResourcesJson(spec.resources));
  Put(out, "sysctl", spec.sysctl);
  if (spec.seccomp) out["seccomp"] = SeccompJson(*spec.seccomp);
  Put(out, "maskedPaths", spec.masked_paths);
  Put(out, "readonlyPaths", spec.readonly_paths);
  Put(out, "rootfsPropagation", spec.rootfs_propagation);
  Put(out, "mountLabel", spec.mount_label);
  return out;
}

}  // namespace

std::vector<Hook>* StageOf(Hooks& hooks, std::string_view name) {
  for (const auto& [known, stage] : kStages) {
    if (name == known) return &(hooks.*stage);
  }
  return nullptr;
}

std::string ToJson(const Spec& spec) {
  json out = {
      {"ociVersion", spec.oci_version},
      {"process", ProcessJson(spec.process)},
      {"root", {{"path", spec.root_path}, {"readonly", spec.root_readonly}}},
      {"linux", LinuxJson(spec)},
  };
  Put(out, "hostname", spec.hostname);
  Put(out, "mounts", Array(spec.mounts, MountJson));
  Put(out, "hooks", HooksJson(spec.hooks));
  Put(out, "annotations", spec.annotations);
  return berth::json::Dump(out);
}

std::string ToJson(const Process& process) {
  return berth::json::Dump(ProcessJson(process));
}
std::string ToJson(const Resources& resources) {
  return berth::json::Dump(ResourcesJson(resources));
}

}  // namespace berth::oci
