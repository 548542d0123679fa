#include "container/limits.h"

#include <algorithm>
#include <cmath>

#include "base/strings.h"
#include "cri-proto/api.pb.h"

namespace berth::container {
namespace {

using base::Cat;
using base::Code;
using base::Fail;
using base::Path;

// The group's files in one hierarchy after the other.
class Writer {
 public:
  Writer(const kernel::CgroupTree& cgroups, const Path& group, kernel::CgroupChange& change)
      : v2_(cgroups.unified()), cgroups_(cgroups), group_(group), change_(change) {}

  bool v2() const { return v2_; }
  base::Result<std::string> Read(const char* controller, const std::string& name) const {
    ASSIGN_OR_RETURN(const Path folder, cgroups_.Folder(group_, controller));
    return base::ReadFile(folder / name);
  }
  base::Result<int64_t> ReadNumber(const char* controller, const std::string& name) const {
    ASSIGN_OR_RETURN(const std::string text, Read(controller, name));
    const auto number = base::ParseInt(base::Trim(text));
    if (!number) return Fail(Code::kInternal, name, " is no number: ", text);
    return *number;
  }
  base::Status Write(const char* controller, const std::string& name, const std::string& value) const {
    ASSIGN_OR_RETURN(const Path folder, cgroups_.Folder(group_, controller));
    return change_.Write(folder / name, value);
  }
  base::Status WriteIfThere(const char* controller, const std::string& name, const std::string& value) const {
    ASSIGN_OR_RETURN(const Path folder, cgroups_.Folder(group_, controller));
    return base::Exists(folder / name) ? change_.Write(folder / name, value) : base::Status();
  }

 private:
  const bool v2_;
  const kernel::CgroupTree& cgroups_;
  const Path& group_;
  kernel::CgroupChange& change_;
};

std::string OrMax(int64_t value) {
  return value < 0 ? "max" : std::to_string(value);
}

// v1 refuses memory above memory and swap together, at each moment.
base::Status WriteMemoryV1(const oci::Resources& limits, const Writer& writer) {
  const auto memory = [&]() -> base::Status {
    if (!limits.memory_limit) return {};
    return writer.Write("memory", "memory.limit_in_bytes", std::to_string(*limits.memory_limit));
  };
  auto both_limit = limits.memory_swap;
  const bool has_swap = writer.Read("memory", "memory.memsw.limit_in_bytes").has_value();
  if (has_swap && !both_limit && limits.memory_limit == -1) both_limit = -1;
  if (!both_limit) {
    RETURN_IF_ERROR(memory(), "resources: memory_limit_in_bytes");
    return {};
  }
  const auto both = [&] { return writer.Write("memory", "memory.memsw.limit_in_bytes", std::to_string(*both_limit)); };
  bool memory_first = false;
  if (limits.memory_limit && *limits.memory_limit >= 0) {
    ASSIGN_OR_RETURN(const int64_t now, writer.ReadNumber("memory", "memory.memsw.limit_in_bytes"),
                     "resources: memory_limit_in_bytes");
    memory_first = *limits.memory_limit <= now;
  }
  if (memory_first) RETURN_IF_ERROR(memory(), "resources: memory_limit_in_bytes");
  RETURN_IF_ERROR(both(), "resources: memory_swap_limit_in_bytes");
  if (!memory_first) RETURN_IF_ERROR(memory(), "resources: memory_limit_in_bytes");
  return {};
}

base::Status WriteMemoryV2(const oci::Resources& limits, const Writer& writer) {
  if (limits.memory_swap) {
    const bool none = *limits.memory_swap < 0 || !limits.memory_limit;
    const std::string swap = none ? "max" : std::to_string(*limits.memory_swap - *limits.memory_limit);
    RETURN_IF_ERROR(writer.Write("memory", "memory.swap.max", swap), "resources: memory_swap_limit_in_bytes");
  }
  if (limits.memory_limit) {
    RETURN_IF_ERROR(writer.Write("memory", "memory.max", OrMax(*limits.memory_limit)),
                    "resources: memory_limit_in_bytes");
  }
  return {};
}

base::Status WriteBandwidth(const oci::Resources& limits, const Writer& writer) {
  if (!limits.cpu_quota && !limits.cpu_period) return {};
  if (writer.v2()) {
    ASSIGN_OR_RETURN(const std::string now, writer.Read("cpu", "cpu.max"), "resources: cpu_quota");
    const auto words = base::Split(base::Trim(now), ' ');
    const std::string quota = limits.cpu_quota ? OrMax(*limits.cpu_quota) : std::string(words.front());
    const std::string period = limits.cpu_period ? std::to_string(*limits.cpu_period) : std::string(words.back());
    RETURN_IF_ERROR(writer.Write("cpu", "cpu.max", Cat(quota, " ", period)), "resources: cpu_quota and cpu_period");
    return {};
  }
  const auto quota = [&]() -> base::Status {
    if (!limits.cpu_quota) return {};
    return writer.Write("cpu", "cpu.cfs_quota_us", std::to_string(*limits.cpu_quota));
  };
  if (!limits.cpu_period) {
    RETURN_IF_ERROR(quota(), "resources: cpu_quota");
    return {};
  }
  // The kernel looks at their ratio after each write and refuses more than the parent's: a longer period goes first,
  // then the step in between grants no more than either end does.
  ASSIGN_OR_RETURN(const int64_t now, writer.ReadNumber("cpu", "cpu.cfs_period_us"), "resources: cpu_period");
  const bool longer = static_cast<int64_t>(*limits.cpu_period) >= now;
  if (!longer) RETURN_IF_ERROR(quota(), "resources: cpu_quota");
  RETURN_IF_ERROR(writer.Write("cpu", "cpu.cfs_period_us", std::to_string(*limits.cpu_period)),
                  "resources: cpu_period");
  if (longer) RETURN_IF_ERROR(quota(), "resources: cpu_quota");
  return {};
}

base::Status WriteHugepages(const oci::Resources& limits, const Writer& writer) {
  for (const oci::HugepageLimit& limit : limits.hugepage_limits) {
    const std::string prefix = Cat("hugetlb.", limit.page_size);
    const std::string end = writer.v2() ? "max" : "limit_in_bytes";
    const std::string value = std::to_string(limit.limit);
    RETURN_IF_ERROR(writer.Write("hugetlb", Cat(prefix, ".", end), value), "resources: hugepage_limits");
    // Of pages that are promised and not yet used; runtimes set both where the kernel has both.
    RETURN_IF_ERROR(writer.WriteIfThere("hugetlb", Cat(prefix, ".rsvd.", end), value), "resources: hugepage_limits");
  }
  return {};
}

}  // namespace

cri::LinuxContainerResources MergeResources(const cri::LinuxContainerResources& old,
                                            const cri::LinuxContainerResources& update) {
  cri::LinuxContainerResources out = old;
  // Exactly the rule of proto3's own merging for scalars and maps; lists it would append.
  out.MergeFrom(update);
  // The kubelet sends the score that a container made anew would get; of those that run no runtime changes it. The
  // status says what is so.
  out.set_oom_score_adj(old.oom_score_adj());
  *out.mutable_hugepage_limits() = old.hugepage_limits();
  for (const cri::HugepageLimit& limit : update.hugepage_limits()) {
    auto& limits = *out.mutable_hugepage_limits();
    const auto same = std::find_if(limits.begin(), limits.end(),
                                   [&](const auto& other) { return other.page_size() == limit.page_size(); });
    if (same != limits.end())
      *same = limit;
    else
      *limits.Add() = limit;
  }
  return out;
}

oci::Resources OnlyUpdated(oci::Resources whole, const cri::LinuxContainerResources& update) {
  whole.pids_limit.reset();
  if (update.cpu_shares() == 0) whole.cpu_shares.reset();
  // What systemd is told is their ratio: both or none.
  if (update.cpu_quota() == 0 && update.cpu_period() == 0) {
    whole.cpu_quota.reset();
    whole.cpu_period.reset();
  }
  if (update.cpuset_cpus().empty()) whole.cpuset_cpus.clear();
  if (update.cpuset_mems().empty()) whole.cpuset_mems.clear();
  // On v2 one is written as its difference to the other: both or none.
  if (update.memory_limit_in_bytes() == 0 && update.memory_swap_limit_in_bytes() == 0) {
    whole.memory_limit.reset();
    whole.memory_swap.reset();
  }
  std::erase_if(whole.hugepage_limits, [&](const oci::HugepageLimit& limit) {
    return std::none_of(update.hugepage_limits().begin(), update.hugepage_limits().end(),
                        [&](const auto& named) { return named.page_size() == limit.page_size; });
  });
  std::erase_if(whole.unified, [&](const auto& entry) { return !update.unified().contains(entry.first); });
  return whole;
}

std::map<std::string, uint64_t> UnitLimits(const oci::Resources& limits) {
  const auto or_none = [](int64_t value) { return value < 0 ? UINT64_MAX : static_cast<uint64_t>(value); };
  std::map<std::string, uint64_t> out;
  if (limits.memory_limit) out["MemoryMax"] = or_none(*limits.memory_limit);
  if (limits.memory_reservation) out["MemoryLow"] = or_none(*limits.memory_reservation);
  if (limits.memory_swap) {
    const bool none = *limits.memory_swap < 0 || !limits.memory_limit;
    out["MemorySwapMax"] = none ? UINT64_MAX : or_none(*limits.memory_swap - *limits.memory_limit);
  }
  if (limits.cpu_quota) {
    constexpr double kSecond = 1e6;
    constexpr double kDefaultPeriod = 100'000;
    const double period = limits.cpu_period ? static_cast<double>(*limits.cpu_period) : kDefaultPeriod;
    const double share = static_cast<double>(*limits.cpu_quota) / period * kSecond;
    out["CPUQuotaPerSecUSec"] = share <= 0 || share > 1e15 ? UINT64_MAX : static_cast<uint64_t>(std::llround(share));
    if (limits.cpu_period) out["CPUQuotaPeriodUSec"] = *limits.cpu_period;
  }
  if (limits.pids_limit)
    out["TasksMax"] = *limits.pids_limit <= 0 ? UINT64_MAX : static_cast<uint64_t>(*limits.pids_limit);
  return out;
}

base::Status WriteLimits(const oci::Resources& limits, const kernel::CgroupTree& cgroups, const base::Path& group,
                         kernel::CgroupChange& change) {
  const Writer writer(cgroups, group, change);
  RETURN_IF_ERROR(WriteBandwidth(limits, writer));
  if (limits.cpu_shares && !writer.v2()) {
    RETURN_IF_ERROR(writer.Write("cpu", "cpu.shares", std::to_string(*limits.cpu_shares)), "resources: cpu_shares");
  }
  if (!limits.cpuset_mems.empty())
    RETURN_IF_ERROR(writer.Write("cpuset", "cpuset.mems", limits.cpuset_mems), "resources: cpuset_mems");
  if (!limits.cpuset_cpus.empty())
    RETURN_IF_ERROR(writer.Write("cpuset", "cpuset.cpus", limits.cpuset_cpus), "resources: cpuset_cpus");
  RETURN_IF_ERROR(writer.v2() ? WriteMemoryV2(limits, writer) : WriteMemoryV1(limits, writer));
  RETURN_IF_ERROR(WriteHugepages(limits, writer));
  for (const auto& [name, value] : limits.unified) {
    RETURN_IF_ERROR(change.Write(cgroups.Folders(group).front() / name, value), "resources: unified ", name);
  }
  return {};
}

}  // namespace berth::container
