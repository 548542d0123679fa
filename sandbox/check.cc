#include "sandbox/check.h"

#include "container/selinux.h"
#include "cri-proto/api.pb.h"
#include "kernel/cgroup.h"
#include "kernel/namespace.h"

namespace berth::sandbox {

using base::Code;
using base::Fail;

namespace {

base::Status CheckUserNamespace(const cri::NamespaceOption& options) {
  const auto bad = [](std::string_view why) { return Fail(Code::kInvalidArgument, "namespace_options.userns_options: ", why); };
  const cri::UserNamespace& user = options.userns_options();
  if (options.pid() == cri::NODE || options.ipc() == cri::NODE) return bad("not with the host's pid or ipc namespace");
  for (const auto* maps : {&user.uids(), &user.gids()}) {
    if (maps->size() != 1) return bad("exactly one range of uids and one of gids is needed");
    const cri::IDMapping& map = maps->at(0);
    if (map.container_id() != 0) return bad("a range must begin with container_id 0");
    // The last id is the kernel's "none".
    if (map.length() == 0 || uint64_t{map.host_id()} + map.length() > 0xffffffff) return bad("a range is empty or passes the last id");
  }
  return {};
}

base::Status CheckNamespaces(const cri::NamespaceOption& options) {
  if (options.network() != cri::POD && options.network() != cri::NODE) {
    return Fail(Code::kInvalidArgument, "namespace_options.network: a pod has POD or NODE");
  }
  if (options.ipc() != cri::POD && options.ipc() != cri::NODE) {
    return Fail(Code::kInvalidArgument, "namespace_options.ipc: a pod has POD or NODE");
  }
  if (options.pid() != cri::POD && options.pid() != cri::CONTAINER && options.pid() != cri::NODE && options.pid() != cri::TARGET) {
    return Fail(Code::kInvalidArgument, "namespace_options.pid: a pod has POD, CONTAINER or NODE");
  }
  if (options.pid() == cri::TARGET) return Fail(Code::kInvalidArgument, "namespace_options.pid: TARGET is for containers alone");
  if (!options.target_id().empty()) return Fail(Code::kInvalidArgument, "namespace_options.target_id is for containers alone");
  if (!options.has_userns_options()) return {};
  const cri::UserNamespace& user = options.userns_options();
  switch (user.mode()) {
    case cri::NODE:
      if (user.uids_size() > 0 || user.gids_size() > 0) {
        return Fail(Code::kInvalidArgument, "namespace_options.userns_options: mode NODE takes no mappings");
      }
      return {};
    case cri::POD: return CheckUserNamespace(options);
    default: return Fail(Code::kInvalidArgument, "namespace_options.userns_options: a pod has mode POD or NODE");
  }
}

base::Status CheckSysctls(const cri::LinuxPodSandboxConfig& config) {
  const auto& options = config.security_context().namespace_options();
  for (const auto& [name, value] : config.sysctls()) {
    ASSIGN_OR_RETURN(const kernel::Sysctl sysctl, kernel::ParseSysctl(name));
    if (sysctl.space == kernel::SysctlNamespace::kNet && options.network() == cri::NODE) {
      return Fail(Code::kInvalidArgument, "sysctl ", name, " cannot be set in a pod that uses the host's network");
    }
    if (sysctl.space == kernel::SysctlNamespace::kUts && options.network() == cri::NODE) {
      return Fail(Code::kInvalidArgument, "sysctl ", name, " cannot be set in a pod that uses the host's uts namespace");
    }
    if (sysctl.space == kernel::SysctlNamespace::kIpc && options.ipc() == cri::NODE) {
      return Fail(Code::kInvalidArgument, "sysctl ", name, " cannot be set in a pod that uses the host's ipc namespace");
    }
  }
  return {};
}

}  // namespace

kernel::UserMap UserMapOf(const cri::PodSandboxConfig& config) {
  const cri::UserNamespace& user = config.linux().security_context().namespace_options().userns_options();
  const auto range = [](const cri::IDMapping& map) { return kernel::IdRange{.host = map.host_id(), .size = map.length()}; };
  return {.uids = range(user.uids(0)), .gids = range(user.gids(0))};
}

base::Status CheckConfig(const cri::PodSandboxConfig& config, bool systemd_cgroup) {
  const auto& metadata = config.metadata();
  if (metadata.name().empty()) return Fail(Code::kInvalidArgument, "config.metadata.name is missing");
  if (metadata.namespace_().empty()) return Fail(Code::kInvalidArgument, "config.metadata.namespace is missing");
  if (metadata.uid().empty()) return Fail(Code::kInvalidArgument, "config.metadata.uid is missing");
  if (config.has_windows()) return Fail(Code::kInvalidArgument, "config.windows: this node runs Linux pods");
  for (const cri::PortMapping& mapping : config.port_mappings()) {
    if (mapping.host_port() < 0 || mapping.host_port() > 65535 || mapping.container_port() < 0 || mapping.container_port() > 65535) {
      return Fail(Code::kInvalidArgument, "port_mappings: a port is out of range");
    }
    if (!cri::Protocol_IsValid(mapping.protocol())) {
      return Fail(Code::kInvalidArgument, "port_mappings: protocol ", static_cast<int>(mapping.protocol()), " is unknown");
    }
  }
  const std::string& parent = config.linux().cgroup_parent();
  if (!parent.empty()) {
    if (systemd_cgroup && !parent.ends_with(".slice")) {
      return Fail(Code::kInvalidArgument, "cgroup_parent \"", parent, "\" is not a slice, as the systemd cgroup driver needs");
    }
    RETURN_IF_ERROR(kernel::ResolveCgroup(parent), "cgroup_parent");
  }
  RETURN_IF_ERROR(container::CheckSelinux(config.linux().security_context().selinux_options()));
  RETURN_IF_ERROR(CheckNamespaces(config.linux().security_context().namespace_options()));
  return CheckSysctls(config.linux());
}

}  // namespace berth::sandbox
