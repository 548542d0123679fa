#include "container/seccomp_profile.h"

#include <seccomp.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "json/json.h"

namespace berth::container {
namespace {

using base::Code;
using base::Fail;
using nlohmann::json;
constexpr size_t kMaxRules = 10'000;

bool Has(std::span<const std::string> list, std::string_view wanted) {
  return std::find(list.begin(), list.end(), wanted) != list.end();
}

struct Architecture {
  std::string_view go_name;
  std::string_view other_name;
  std::string_view seccomp_name;
};
const Architecture& FindArchitecture(std::string_view go_name) {
  static constexpr Architecture kKnown[] = {
      {"amd64", "x86_64", "SCMP_ARCH_X86_64"},     {"arm64", "aarch64", "SCMP_ARCH_AARCH64"},
      {"riscv64", "riscv64", "SCMP_ARCH_RISCV64"}, {"ppc64le", "ppc64le", "SCMP_ARCH_PPC64LE"},
      {"s390x", "s390x", "SCMP_ARCH_S390X"},       {"loong64", "loongarch64", "SCMP_ARCH_LOONGARCH64"}};
  static constexpr Architecture kNone{};
  const auto* const found =
      std::find_if(std::begin(kKnown), std::end(kKnown), [&](const auto& one) { return one.go_name == go_name; });
  return found == std::end(kKnown) ? kNone : *found;
}

base::Status CheckName(std::span<const std::string_view> known, const std::string& name, std::string_view what) {
  if (std::find(known.begin(), known.end(), name) != known.end()) return {};
  return Fail(Code::kInvalidArgument, "seccomp profile: ", what, " \"", name, "\" is unknown");
}
base::Status CheckAction(const std::string& name) {
  static constexpr std::string_view kActions[] = {"SCMP_ACT_KILL",  "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
                                                  "SCMP_ACT_TRAP",  "SCMP_ACT_ERRNO",        "SCMP_ACT_TRACE",
                                                  "SCMP_ACT_ALLOW", "SCMP_ACT_LOG",          "SCMP_ACT_NOTIFY"};
  return CheckName(kActions, name, "action");
}
base::Status CheckOperator(const std::string& name) {
  static constexpr std::string_view kOperators[] = {"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE",       "SCMP_CMP_EQ",
                                                    "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"};
  return CheckName(kOperators, name, "op");
}

// "amd64", or the same as other tools write it.
bool IsArchitecture(std::string_view name, const SeccompHost& host) {
  return name == host.architecture || name == FindArchitecture(host.architecture).other_name;
}

struct Conditions {
  std::vector<std::string> architectures;
  std::vector<std::string> capabilities;
  std::string min_kernel;
};

base::Result<Conditions> ReadConditions(const json& rule, std::string_view key) {
  Conditions out;
  ASSIGN_OR_RETURN(const json* object, berth::json::Object(rule, key, "seccomp profile"));
  if (object == nullptr) return out;
  ASSIGN_OR_RETURN(out.architectures, berth::json::Strings(*object, "arches", "seccomp profile"));
  ASSIGN_OR_RETURN(out.capabilities, berth::json::Strings(*object, "caps", "seccomp profile"));
  ASSIGN_OR_RETURN(out.min_kernel, berth::json::String(*object, "minKernel", "seccomp profile"));
  return out;
}

bool IsKernel(const std::string& minimum, const SeccompHost& host) {
  int major = 0;
  int minor = 0;
  if (std::sscanf(minimum.c_str(), "%d.%d", &major, &minor) < 1) return false;
  return host.kernel_major > major || (host.kernel_major == major && host.kernel_minor >= minor);
}

bool Applies(const Conditions& includes, const Conditions& excludes, std::span<const std::string> capabilities,
             const SeccompHost& host) {
  const auto here = [&](const std::string& name) { return IsArchitecture(name, host); };
  const auto granted = [&](const std::string& name) { return Has(capabilities, name); };
  if (!includes.architectures.empty() &&
      std::none_of(includes.architectures.begin(), includes.architectures.end(), here))
    return false;
  if (!std::all_of(includes.capabilities.begin(), includes.capabilities.end(), granted)) return false;
  if (!includes.min_kernel.empty() && !IsKernel(includes.min_kernel, host)) return false;
  if (std::any_of(excludes.architectures.begin(), excludes.architectures.end(), here)) return false;
  if (std::any_of(excludes.capabilities.begin(), excludes.capabilities.end(), granted)) return false;
  return excludes.min_kernel.empty() || !IsKernel(excludes.min_kernel, host);
}

base::Result<std::optional<uint32_t>> ReadErrno(const json& object, std::string_view key) {
  ASSIGN_OR_RETURN(const auto number, berth::json::Int(object, key, "seccomp profile"));
  if (!number) return std::optional<uint32_t>();
  if (*number < 0 || *number > 4095) return Fail(Code::kInvalidArgument, "seccomp profile: ", key, " is out of range");
  return std::optional<uint32_t>(static_cast<uint32_t>(*number));
}

base::Result<uint64_t> ReadValue(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return uint64_t{0};
  if (found->is_number_unsigned()) return found->get<uint64_t>();
  if (found->is_number_integer()) return static_cast<uint64_t>(found->get<int64_t>());
  return Fail(Code::kInvalidArgument, "seccomp profile: ", key, " is not a number");
}

base::Result<oci::SeccompRule> ReadRule(const json& rule) {
  oci::SeccompRule out;
  ASSIGN_OR_RETURN(std::vector<std::string> names, berth::json::Strings(rule, "names", "seccomp profile"));
  ASSIGN_OR_RETURN(const std::string name, berth::json::String(rule, "name", "seccomp profile"));
  if (!name.empty()) names.push_back(name);
  std::copy_if(names.begin(), names.end(), std::back_inserter(out.names), KnowsSyscall);
  ASSIGN_OR_RETURN(out.action, berth::json::String(rule, "action", "seccomp profile"));
  RETURN_IF_ERROR(CheckAction(out.action));
  ASSIGN_OR_RETURN(out.errno_ret, ReadErrno(rule, "errnoRet"));
  ASSIGN_OR_RETURN(const json* arguments, berth::json::Array(rule, "args", "seccomp profile"));
  if (arguments == nullptr) return out;
  for (const json& argument : *arguments) {
    oci::SeccompArg mapped;
    ASSIGN_OR_RETURN(const auto index, berth::json::Int(argument, "index", "seccomp profile"));
    if (index.value_or(0) < 0 || index.value_or(0) > 5) {
      return Fail(Code::kInvalidArgument, "seccomp profile: an argument's index is not one of 0 to 5");
    }
    mapped.index = static_cast<uint32_t>(index.value_or(0));
    ASSIGN_OR_RETURN(mapped.value, ReadValue(argument, "value"));
    ASSIGN_OR_RETURN(mapped.value_two, ReadValue(argument, "valueTwo"));
    ASSIGN_OR_RETURN(mapped.op, berth::json::String(argument, "op", "seccomp profile"));
    RETURN_IF_ERROR(CheckOperator(mapped.op));
    out.args.push_back(std::move(mapped));
  }
  return out;
}

base::Status ReadArchitectures(const json& profile, const SeccompHost& host, oci::Seccomp& out) {
  ASSIGN_OR_RETURN(out.architectures, berth::json::Strings(profile, "architectures", "seccomp profile"));
  ASSIGN_OR_RETURN(const json* map, berth::json::Array(profile, "archMap", "seccomp profile"));
  if (map == nullptr) return {};
  const std::string_view own = FindArchitecture(host.architecture).seccomp_name;
  for (const json& entry : *map) {
    ASSIGN_OR_RETURN(const std::string name, berth::json::String(entry, "architecture", "seccomp profile"));
    if (name != own || own.empty()) continue;
    ASSIGN_OR_RETURN(const auto others, berth::json::Strings(entry, "subArchitectures", "seccomp profile"));
    out.architectures.push_back(name);
    out.architectures.insert(out.architectures.end(), others.begin(), others.end());
  }
  return {};
}

}  // namespace

SeccompHost ThisSeccompHost() {
  SeccompHost host;
#if defined(__x86_64__)
  host.architecture = "amd64";
#elif defined(__aarch64__)
  host.architecture = "arm64";
#elif defined(__riscv) && __riscv_xlen == 64
  host.architecture = "riscv64";
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
  host.architecture = "ppc64le";
#elif defined(__s390x__)
  host.architecture = "s390x";
#elif defined(__loongarch64)
  host.architecture = "loong64";
#endif
  utsname name{};
  if (uname(&name) == 0) std::sscanf(name.release, "%d.%d", &host.kernel_major, &host.kernel_minor);
  return host;
}

bool KnowsSyscall(const std::string& name) {
  return seccomp_syscall_resolve_name(name.c_str()) != __NR_SCMP_ERROR;
}

base::Result<oci::Seccomp> ParseSeccompProfile(std::string_view text, std::span<const std::string> capabilities,
                                               const SeccompHost& host) {
  ASSIGN_OR_RETURN(const nlohmann::json profile, berth::json::Parse(text, "seccomp profile"));
  oci::Seccomp out;
  ASSIGN_OR_RETURN(out.default_action, berth::json::String(profile, "defaultAction", "seccomp profile"));
  RETURN_IF_ERROR(CheckAction(out.default_action));
  ASSIGN_OR_RETURN(out.default_errno_ret, ReadErrno(profile, "defaultErrnoRet"));
  ASSIGN_OR_RETURN(out.flags, berth::json::Strings(profile, "flags", "seccomp profile"));
  ASSIGN_OR_RETURN(out.listener_path, berth::json::String(profile, "listenerPath", "seccomp profile"));
  ASSIGN_OR_RETURN(out.listener_metadata, berth::json::String(profile, "listenerMetadata", "seccomp profile"));
  RETURN_IF_ERROR(ReadArchitectures(profile, host, out));
  ASSIGN_OR_RETURN(const nlohmann::json* rules, berth::json::Array(profile, "syscalls", "seccomp profile"));
  static const nlohmann::json kNone = nlohmann::json::array();
  if (rules == nullptr) rules = &kNone;
  if (rules->size() > kMaxRules)
    return Fail(Code::kInvalidArgument, "seccomp profile: more than ", kMaxRules, " rules");
  for (const nlohmann::json& rule : *rules) {
    ASSIGN_OR_RETURN(oci::SeccompRule mapped, ReadRule(rule));
    ASSIGN_OR_RETURN(const Conditions includes, ReadConditions(rule, "includes"));
    ASSIGN_OR_RETURN(const Conditions excludes, ReadConditions(rule, "excludes"));
    if (!mapped.names.empty() && Applies(includes, excludes, capabilities, host))
      out.syscalls.push_back(std::move(mapped));
  }
  const bool notifies = out.default_action == "SCMP_ACT_NOTIFY" ||
                        std::any_of(out.syscalls.begin(), out.syscalls.end(),
                                    [](const auto& rule) { return rule.action == "SCMP_ACT_NOTIFY"; });
  if (notifies && out.listener_path.empty())
    return Fail(Code::kInvalidArgument, "seccomp profile: SCMP_ACT_NOTIFY needs a listenerPath");
  return out;
}

}  // namespace berth::container
