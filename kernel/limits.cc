#include "kernel/limits.h"

#include <linux/capability.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string>

#include "base/file.h"
#include "base/strings.h"

namespace berth::kernel {
namespace {

using base::Code;
using base::Fail;
using base::Result;

constexpr std::array<std::string_view, 41> kCapabilities = {"CAP_CHOWN",
                                                            "CAP_DAC_OVERRIDE",
                                                            "CAP_DAC_READ_SEARCH",
                                                            "CAP_FOWNER",
                                                            "CAP_FSETID",
                                                            "CAP_KILL",
                                                            "CAP_SETGID",
                                                            "CAP_SETUID",
                                                            "CAP_SETPCAP",
                                                            "CAP_LINUX_IMMUTABLE",
                                                            "CAP_NET_BIND_SERVICE",
                                                            "CAP_NET_BROADCAST",
                                                            "CAP_NET_ADMIN",
                                                            "CAP_NET_RAW",
                                                            "CAP_IPC_LOCK",
                                                            "CAP_IPC_OWNER",
                                                            "CAP_SYS_MODULE",
                                                            "CAP_SYS_RAWIO",
                                                            "CAP_SYS_CHROOT",
                                                            "CAP_SYS_PTRACE",
                                                            "CAP_SYS_PACCT",
                                                            "CAP_SYS_ADMIN",
                                                            "CAP_SYS_BOOT",
                                                            "CAP_SYS_NICE",
                                                            "CAP_SYS_RESOURCE",
                                                            "CAP_SYS_TIME",
                                                            "CAP_SYS_TTY_CONFIG",
                                                            "CAP_MKNOD",
                                                            "CAP_LEASE",
                                                            "CAP_AUDIT_WRITE",
                                                            "CAP_AUDIT_CONTROL",
                                                            "CAP_SETFCAP",
                                                            "CAP_MAC_OVERRIDE",
                                                            "CAP_MAC_ADMIN",
                                                            "CAP_SYSLOG",
                                                            "CAP_WAKE_ALARM",
                                                            "CAP_BLOCK_SUSPEND",
                                                            "CAP_AUDIT_READ",
                                                            "CAP_PERFMON",
                                                            "CAP_BPF",
                                                            "CAP_CHECKPOINT_RESTORE"};
static_assert(kCapabilities[CAP_SYS_RESOURCE] == "CAP_SYS_RESOURCE");
static_assert(kCapabilities[CAP_CHECKPOINT_RESTORE] == "CAP_CHECKPOINT_RESTORE");

constexpr std::pair<int, std::string_view> kLimits[] = {
    {RLIMIT_AS, "RLIMIT_AS"},           {RLIMIT_CORE, "RLIMIT_CORE"},         {RLIMIT_CPU, "RLIMIT_CPU"},
    {RLIMIT_DATA, "RLIMIT_DATA"},       {RLIMIT_FSIZE, "RLIMIT_FSIZE"},       {RLIMIT_LOCKS, "RLIMIT_LOCKS"},
    {RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK"}, {RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE"}, {RLIMIT_NICE, "RLIMIT_NICE"},
    {RLIMIT_NOFILE, "RLIMIT_NOFILE"},   {RLIMIT_NPROC, "RLIMIT_NPROC"},       {RLIMIT_RSS, "RLIMIT_RSS"},
    {RLIMIT_RTPRIO, "RLIMIT_RTPRIO"},   {RLIMIT_RTTIME, "RLIMIT_RTTIME"},     {RLIMIT_SIGPENDING, "RLIMIT_SIGPENDING"},
    {RLIMIT_STACK, "RLIMIT_STACK"}};

Result<int> ReadNumber(const char* path) {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path, 4096));
  const auto number = base::ParseInt(base::Trim(text));
  if (!number || *number < INT32_MIN || *number > INT32_MAX) return Fail(Code::kInternal, path, ": not a number");
  return static_cast<int>(*number);
}

}  // namespace

std::vector<ResourceLimit> OwnResourceLimits() {
  std::vector<ResourceLimit> out;
  out.reserve(std::size(kLimits));
  for (const auto& [resource, name] : kLimits) {
    rlimit limit{};
    // Fails only for a resource that the kernel does not know, and these are as old as Linux 2.6.
    if (getrlimit(static_cast<__rlimit_resource_t>(resource), &limit) != 0) continue;
    out.push_back({.name = name, .soft = limit.rlim_cur, .hard = limit.rlim_max});
  }
  return out;
}

Result<int> OwnOomScoreAdj() {
  return ReadNumber("/proc/self/oom_score_adj");
}

Result<int> ClampOomScoreAdj(int wanted) {
  wanted = std::clamp(wanted, -1000, 1000);
  ASSIGN_OR_RETURN(const int own, OwnOomScoreAdj());
  if (wanted >= own) return wanted;
  ASSIGN_OR_RETURN(const CapabilitySets sets, OwnCapabilities());
  return (sets.effective >> CAP_SYS_RESOURCE & 1) != 0 ? wanted : own;
}

Result<CapabilitySets> OwnCapabilities() {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile("/proc/thread-self/status", 64 << 10));
  CapabilitySets sets;
  const std::pair<std::string_view, uint64_t*> wanted[] = {{"CapInh", &sets.inheritable},
                                                           {"CapPrm", &sets.permitted},
                                                           {"CapEff", &sets.effective},
                                                           {"CapBnd", &sets.bounding},
                                                           {"CapAmb", &sets.ambient}};
  size_t found = 0;
  for (const std::string_view line : base::Split(text, '\n')) {
    for (const auto& [name, set] : wanted) {
      if (!line.starts_with(name) || line.size() <= name.size() || line[name.size()] != ':') continue;
      const std::string_view digits = base::Trim(line.substr(name.size() + 1));
      const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), *set, 16);
      if (parsed.ec == std::errc() && parsed.ptr == digits.data() + digits.size()) ++found;
    }
  }
  if (found != std::size(wanted)) return Fail(Code::kInternal, "/proc/thread-self/status: capabilities not found");
  return sets;
}

std::span<const std::string_view> CapabilityNames() {
  return kCapabilities;
}

std::optional<int> CapabilityNumber(std::string_view name) {
  std::string lower = base::Lower(name);
  if (!lower.starts_with("cap_")) lower.insert(0, "cap_");
  for (size_t i = 0; i < kCapabilities.size(); ++i) {
    if (base::Lower(kCapabilities[i]) == lower) return static_cast<int>(i);
  }
  return std::nullopt;
}

Result<int> LastCapability() {
  return ReadNumber("/proc/sys/kernel/cap_last_cap");
}

}  // namespace berth::kernel
