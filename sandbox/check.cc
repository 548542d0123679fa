#include "sandbox/check.h"

#include <arpa/inet.h>

#include "container/selinux.h"
#include "container/text_check.h"
#include "cri-proto/api.pb.h"
#include "kernel/cgroup.h"
#include "sandbox/sysctls.h"

namespace berth::sandbox {

using base::Code;
using base::Fail;

namespace {

// portmap passes over what is none.
bool IsAddress(const std::string& text) {
  in6_addr parsed{};
  return inet_pton(AF_INET, text.c_str(), &parsed) == 1 || inet_pton(AF_INET6, text.c_str(), &parsed) == 1;
}

base::Status CheckUserNamespace(const cri::NamespaceOption& options) {
  const auto bad = [](std::string_view why) {
    return Fail(Code::kInvalidArgument, "namespace_options.userns_options: ", why);
  };
  const cri::UserNamespace& user = options.userns_options();
  if (options.pid() == cri::NODE || options.ipc() == cri::NODE) return bad("not with the host's pid or ipc namespace");
  for (const auto* maps : {&user.uids(), &user.gids()}) {
    if (maps->size() != 1) return bad("exactly one range of uids and one of gids is needed");
    const cri::IDMapping& map = maps->at(0);
    if (map.container_id() != 0) return bad("a range must begin with container_id 0");
    // The last id is the kernel's "none".
    if (map.length() == 0 || uint64_t{map.host_id()} + map.length() > 0xffffffff)
      return bad("a range is empty or passes the last id");
  }
  // berth-pause gives all rights up and is nobody.
  constexpr uint32_t kNobody = 65534;
  const bool has_nobody = user.uids(0).length() > kNobody && user.gids(0).length() > kNobody;
  if (options.pid() == cri::POD && !has_nobody) return bad("a shared pid namespace needs ranges of 65535 ids or more");
  return {};
}

base::Status CheckNamespaces(const cri::NamespaceOption& options) {
  if (options.network() != cri::POD && options.network() != cri::NODE) {
    return Fail(Code::kInvalidArgument, "namespace_options.network: a pod has POD or NODE");
  }
  if (options.ipc() != cri::POD && options.ipc() != cri::NODE) {
    return Fail(Code::kInvalidArgument, "namespace_options.ipc: a pod has POD or NODE");
  }
  if (options.pid() != cri::POD && options.pid() != cri::CONTAINER && options.pid() != cri::NODE &&
      options.pid() != cri::TARGET) {
    return Fail(Code::kInvalidArgument, "namespace_options.pid: a pod has POD, CONTAINER or NODE");
  }
  if (options.pid() == cri::TARGET)
    return Fail(Code::kInvalidArgument, "namespace_options.pid: TARGET is for containers alone");
  if (!options.target_id().empty())
    return Fail(Code::kInvalidArgument, "namespace_options.target_id is for containers alone");
  if (!options.has_userns_options()) return {};
  const cri::UserNamespace& user = options.userns_options();
  switch (user.mode()) {
    case cri::NODE:
      if (user.uids_size() > 0 || user.gids_size() > 0) {
        return Fail(Code::kInvalidArgument, "namespace_options.userns_options: mode NODE takes no mappings");
      }
      return {};
    case cri::POD:
      return CheckUserNamespace(options);
    default:
      return Fail(Code::kInvalidArgument, "namespace_options.userns_options: a pod has mode POD or NODE");
  }
}

}  // namespace

kernel::UserMap UserMapOf(const cri::PodSandboxConfig& config) {
  const cri::UserNamespace& user = config.linux().security_context().namespace_options().userns_options();
  const auto range = [](const cri::IDMapping& map) {
    return kernel::IdRange{.host = map.host_id(), .size = map.length()};
  };
  return {.uids = range(user.uids(0)), .gids = range(user.gids(0))};
}

base::Status CheckConfig(const cri::PodSandboxConfig& config, bool systemd_cgroup) {
  const auto& metadata = config.metadata();
  if (metadata.name().empty()) return Fail(Code::kInvalidArgument, "config.metadata.name is missing");
  if (metadata.namespace_().empty()) return Fail(Code::kInvalidArgument, "config.metadata.namespace is missing");
  if (metadata.uid().empty()) return Fail(Code::kInvalidArgument, "config.metadata.uid is missing");
  for (const std::string* text : {&metadata.name(), &metadata.namespace_(), &metadata.uid()}) {
    // CNI plugins are told them in a list of this form.
    if (text->find_first_of(";=") != std::string::npos)
      return Fail(Code::kInvalidArgument, "config.metadata: \"", *text, "\" holds \";\" or \"=\"");
  }
  RETURN_IF_ERROR(container::CheckTexts(config, "config"));
  if (config.has_windows()) return Fail(Code::kInvalidArgument, "config.windows: this node runs Linux pods");
  for (const cri::PortMapping& mapping : config.port_mappings()) {
    if (mapping.host_port() < 0 || mapping.host_port() > 65535 || mapping.container_port() < 0 ||
        mapping.container_port() > 65535) {
      return Fail(Code::kInvalidArgument, "port_mappings: a port is out of range");
    }
    if (!mapping.host_ip().empty() && !IsAddress(mapping.host_ip())) {
      return Fail(Code::kInvalidArgument, "port_mappings: host_ip \"", mapping.host_ip(), "\" is not an IP address");
    }
    if (!cri::Protocol_IsValid(mapping.protocol())) {
      return Fail(Code::kInvalidArgument, "port_mappings: protocol ", static_cast<int>(mapping.protocol()),
                  " is unknown");
    }
  }
  const std::string& parent = config.linux().cgroup_parent();
  if (!parent.empty()) {
    if (systemd_cgroup && !parent.ends_with(".slice")) {
      return Fail(Code::kInvalidArgument, "cgroup_parent \"", parent,
                  "\" is not a slice, as the systemd cgroup driver needs");
    }
    RETURN_IF_ERROR(kernel::ResolveCgroup(parent), "cgroup_parent");
  }
  RETURN_IF_ERROR(container::CheckSelinux(config.linux().security_context().selinux_options()));
  RETURN_IF_ERROR(CheckNamespaces(config.linux().security_context().namespace_options()));
  // Here for what it refuses alone.
  if (auto sysctls = SysctlsOf(config, {}); !sysctls) return tl::make_unexpected(std::move(sysctls).error());
  return {};
}

}  // namespace berth::sandbox
