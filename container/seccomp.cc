#include "container/seccomp.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "base/file.h"
#include "base/strings.h"
#include "container/seccomp_default.h"
#include "container/seccomp_profile.h"
#include "cri-proto/api.pb.h"

namespace berth::container {
namespace {

using base::Code;
using base::Fail;
constexpr size_t kMaxProfile = 4 << 20;

enum class Kind { kUnconfined, kRuntimeDefault, kLocalhost };
struct Wanted {
  Kind kind = Kind::kUnconfined;
  std::string path;
};

base::Result<Wanted> Choose(const cri::LinuxContainerSecurityContext& security) {
  if (security.has_seccomp()) {
    const cri::SecurityProfile& profile = security.seccomp();
    const bool local = profile.profile_type() == cri::SecurityProfile::Localhost;
    if (!local && !profile.localhost_ref().empty()) {
      return Fail(Code::kInvalidArgument, "seccomp.localhost_ref is for profile type Localhost alone");
    }
    switch (profile.profile_type()) {
      case cri::SecurityProfile::RuntimeDefault:
        return Wanted{.kind = Kind::kRuntimeDefault};
      case cri::SecurityProfile::Unconfined:
        return Wanted{};
      case cri::SecurityProfile::Localhost:
        return Wanted{.kind = Kind::kLocalhost, .path = profile.localhost_ref()};
      default:
        return Fail(Code::kInvalidArgument, "seccomp.profile_type ", static_cast<int>(profile.profile_type()),
                    " is unknown");
    }
  }
  // Superseded by `seccomp`, still sent by old clients.
  const std::string& old = security.seccomp_profile_path();
  if (old.empty() || old == "unconfined") return Wanted{};
  if (old == "runtime/default" || old == "docker/default") return Wanted{.kind = Kind::kRuntimeDefault};
  if (old.starts_with("localhost/")) return Wanted{.kind = Kind::kLocalhost, .path = old.substr(10)};
  return Fail(Code::kInvalidArgument, "seccomp_profile_path \"", old, "\" is unknown");
}

// Not read before it is known to be a file: opening a FIFO or a device can wait, or do things.
base::Result<std::string> ReadProfile(const std::string& path) {
  ASSIGN_OR_RETURN(const base::UniqueFd place, base::Open(path, O_PATH));
  struct stat info {};
  if (fstat(place.get(), &info) != 0) return base::FailErrno(errno, "stat ", path);
  if (!S_ISREG(info.st_mode)) return Fail(Code::kInvalidArgument, path, " is not a regular file");
  ASSIGN_OR_RETURN(const base::UniqueFd file, base::Open(base::Cat("/proc/self/fd/", place.get()), O_RDONLY));
  return base::ReadAll(file.get(), kMaxProfile, path);
}

bool Names(std::string_view list, std::string_view wanted) {
  const auto names = base::Split(list, ',');
  return std::find(names.begin(), names.end(), wanted) != names.end();
}

oci::Seccomp RuntimeDefault(std::span<const std::string> capabilities, const SeccompHost& host) {
  oci::Seccomp out;
  out.default_action = "SCMP_ACT_ERRNO";
  out.default_errno_ret = EPERM;
  out.architectures = DefaultArchitectures(host.architecture);
  oci::SeccompRule allowed{.names = {}, .action = "SCMP_ACT_ALLOW", .errno_ret = {}, .args = {}};
  for (const std::string_view name : AlwaysAllowed()) {
    if (KnowsSyscall(std::string(name))) allowed.names.emplace_back(name);
  }
  out.syscalls.push_back(std::move(allowed));
  const auto granted = [&](std::string_view name) {
    return std::find(capabilities.begin(), capabilities.end(), name) != capabilities.end();
  };
  for (const DefaultRule& rule : ConditionalRules()) {
    if (!rule.if_capability.empty() && !granted(rule.if_capability)) continue;
    if (!rule.unless_capability.empty() && granted(rule.unless_capability)) continue;
    if (!rule.if_architectures.empty() && !Names(rule.if_architectures, host.architecture)) continue;
    if (!rule.unless_architectures.empty() && Names(rule.unless_architectures, host.architecture)) continue;
    if (std::pair(host.kernel_major, host.kernel_minor) < std::pair(rule.kernel_major, rule.kernel_minor)) continue;
    if (!KnowsSyscall(std::string(rule.syscall))) continue;
    oci::SeccompRule mapped{.names = {std::string(rule.syscall)},
                            .action = rule.error == 0 ? "SCMP_ACT_ALLOW" : "SCMP_ACT_ERRNO",
                            .errno_ret = {},
                            .args = {}};
    if (rule.error != 0) mapped.errno_ret = static_cast<uint32_t>(rule.error);
    if (rule.argument) {
      mapped.args.push_back({.index = rule.argument->index,
                             .value = rule.argument->value,
                             .value_two = rule.argument->value_two,
                             .op = std::string(rule.argument->op)});
    }
    out.syscalls.push_back(std::move(mapped));
  }
  return out;
}

}  // namespace

base::Result<std::optional<oci::Seccomp>> MapSeccomp(const cri::LinuxContainerSecurityContext& security,
                                                     std::span<const std::string> capabilities) {
  ASSIGN_OR_RETURN(const Wanted wanted, Choose(security));
  if (wanted.kind == Kind::kUnconfined) return std::optional<oci::Seccomp>();
  const SeccompHost host = ThisSeccompHost();
  // EINVAL: a kernel without seccomp. Its default is none; a profile that was chosen must not be lost.
  const bool supported = prctl(PR_GET_SECCOMP) >= 0 || errno != EINVAL;
  if (wanted.kind == Kind::kRuntimeDefault)
    return supported ? std::optional(RuntimeDefault(capabilities, host)) : std::nullopt;
  if (!supported) return Fail(Code::kInvalidArgument, "seccomp: this host's kernel has none");
  if (!wanted.path.starts_with('/'))
    return Fail(Code::kInvalidArgument, "seccomp profile \"", wanted.path, "\" is not an absolute path");
  auto text = ReadProfile(wanted.path);
  if (!text) return Fail(Code::kInvalidArgument, "seccomp profile: ", text.error().message);
  ASSIGN_OR_RETURN(oci::Seccomp profile, ParseSeccompProfile(*text, capabilities, host), wanted.path);
  return std::optional(std::move(profile));
}

}  // namespace berth::container
