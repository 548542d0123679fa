#include "sandbox/sysctls.h"

#include <set>

#include "cri-proto/api.pb.h"
#include "kernel/namespace.h"

namespace berth::sandbox {
namespace {

using base::Code;
using base::Fail;
using kernel::SysctlNamespace;

// What the pod shares with the host of what the sysctl belongs to; null when it has its own.
const char* SharedWithHost(const cri::NamespaceOption& options, SysctlNamespace space) {
  switch (space) {
    case SysctlNamespace::kNet:
      return options.network() == cri::NODE ? "network" : nullptr;
    // "uts: follows network" (CRI API, NamespaceOption).
    case SysctlNamespace::kUts:
      return options.network() == cri::NODE ? "uts namespace" : nullptr;
    case SysctlNamespace::kIpc:
      return options.ipc() == cri::NODE ? "ipc namespace" : nullptr;
  }
  return nullptr;
}

// The usual range is of groups that a user namespace has not got, and the kernel refuses those.
bool NeedsEveryGroup(const kernel::Sysctl& sysctl) {
  return sysctl.file == "net/ipv4/ping_group_range";
}

}  // namespace

base::Result<Sysctls> ParseSysctls(const std::vector<std::string>& texts) {
  Sysctls out;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    if (equals == std::string::npos)
      return Fail(Code::kInvalidArgument, "\"", text, "\" is not of the form name=value");
    if (auto known = kernel::ParseSysctl(name); !known) return tl::make_unexpected(std::move(known).error());
    out.emplace_back(name, text.substr(equals + 1));
  }
  return out;
}

base::Result<Sysctls> SysctlsOf(const cri::PodSandboxConfig& config, const Sysctls& defaults) {
  const auto& options = config.linux().security_context().namespace_options();
  const bool user_namespace = options.userns_options().mode() == cri::POD && options.has_userns_options();
  Sysctls requested;
  std::set<base::Path> given;  // a name can be written with dots and with slashes
  for (const auto& [name, value] : config.linux().sysctls()) {
    ASSIGN_OR_RETURN(const kernel::Sysctl sysctl, kernel::ParseSysctl(name));
    if (const char* shared = SharedWithHost(options, sysctl.space)) {
      return Fail(Code::kInvalidArgument, "sysctl ", name, " cannot be set in a pod that uses the host's ", shared);
    }
    given.insert(sysctl.file);
    requested.emplace_back(name, value);
  }
  Sysctls out;
  for (const auto& [name, value] : defaults) {
    ASSIGN_OR_RETURN(const kernel::Sysctl sysctl, kernel::ParseSysctl(name));
    if (given.contains(sysctl.file) || SharedWithHost(options, sysctl.space) != nullptr) continue;
    if (user_namespace && NeedsEveryGroup(sysctl)) continue;
    out.emplace_back(name, value);
  }
  out.insert(out.end(), requested.begin(), requested.end());
  return out;
}

}  // namespace berth::sandbox
