// cgroup v1's files (Documentation/admin-guide/cgroup-v1).
#include "server/stats/cgroup_reader.h"
#include "server/stats/kernel_text.h"

namespace berth::stats::v1 {
namespace {

// memory.stat's own lines tell of the group alone, the total_ ones of what is below it too.
void AddStat(MemoryStats& out, std::string_view key, uint64_t value) {
  if (key == "total_inactive_file")
    out.inactive_file = value;
  else if (key == "total_active_file")
    out.active_file = value;
  else if (key == "total_cache")
    out.cache = value;
  else if (key == "total_rss")
    out.rss = value;
  else if (key == "total_mapped_file")
    out.mapped_file = value;
  else if (key == "total_pgfault")
    out.page_faults = value;
  else if (key == "total_pgmajfault")
    out.major_page_faults = value;
}

}  // namespace

std::optional<uint64_t> ReadCpuUsage(const Folder& cpuacct, std::string& buffer) {
  return cpuacct.ReadNumber("cpuacct.usage", buffer);
}

std::optional<CpuStats> ReadCpu(const Folder& cpu, const Folder& cpuacct, Depth depth, std::string& buffer) {
  const auto usage = ReadCpuUsage(cpuacct, buffer);
  if (!usage) return std::nullopt;
  CpuStats out{.usage_ns = *usage};
  if (depth == Depth::kUsage) return out;
  out.user_ns = cpuacct.ReadNumber("cpuacct.usage_user", buffer);
  out.system_ns = cpuacct.ReadNumber("cpuacct.usage_sys", buffer);
  if (const auto text = cpu.Read("cpu.stat", buffer)) {
    CpuStats::Throttling throttling;
    EachKeyedNumber(*text, [&](std::string_view key, uint64_t value) {
      if (key == "nr_periods")
        throttling.periods = value;
      else if (key == "nr_throttled")
        throttling.throttled_periods = value;
      else if (key == "throttled_time")
        throttling.throttled_ns = value;
    });
    out.throttling = throttling;
  }
  return out;
}

std::optional<MemoryStats> ReadMemory(const Folder& folder, Depth depth, std::string& buffer) {
  const auto usage = folder.ReadNumber("memory.usage_in_bytes", buffer);
  if (!usage) return std::nullopt;
  MemoryStats out{.usage = *usage};
  out.limit = folder.ReadNumber("memory.limit_in_bytes", buffer);
  if (const auto text = folder.Read("memory.stat", buffer)) {
    EachKeyedNumber(*text, [&](std::string_view key, uint64_t value) { AddStat(out, key, value); });
  }
  // memsw counts memory and swap together. The two files are not read at one moment, so their difference may be below
  // 0.
  if (const auto both = folder.ReadNumber("memory.memsw.usage_in_bytes", buffer)) {
    out.swap = *both > out.usage ? *both - out.usage : 0;
    const auto limit = folder.ReadNumber("memory.memsw.limit_in_bytes", buffer);
    if (limit && out.limit) out.swap_limit = *limit > *out.limit ? *limit - *out.limit : 0;
  }
  if (depth == Depth::kUsage) return out;
  out.peak = folder.ReadNumber("memory.max_usage_in_bytes", buffer);
  out.kernel = folder.ReadNumber("memory.kmem.usage_in_bytes", buffer).value_or(0);
  out.fail_count = folder.ReadNumber("memory.failcnt", buffer);
  if (const auto text = folder.Read("memory.oom_control", buffer)) {
    EachKeyedNumber(*text, [&](std::string_view key, uint64_t value) {
      if (key == "oom_kill") out.oom_kills = value;
    });
  }
  return out;
}

std::vector<DeviceIo> ReadIo(const Folder& folder, std::string& buffer) {
  const auto bytes = folder.Read("blkio.throttle.io_service_bytes_recursive", buffer);
  if (!bytes) return {};
  const std::string kept(*bytes);
  const auto operations = folder.Read("blkio.throttle.io_serviced_recursive", buffer);
  return ParseBlkio(kept, operations.value_or(""));
}

std::vector<HugePages> ReadHugePages(const Folder& folder, const std::vector<std::string>& sizes, std::string& buffer) {
  std::vector<HugePages> out;
  for (const std::string& size : sizes) {
    const std::string name = "hugetlb." + size;
    const auto usage = folder.ReadNumber(name + ".usage_in_bytes", buffer);
    if (!usage) continue;
    out.push_back({.size = size, .usage = *usage, .peak = folder.ReadNumber(name + ".max_usage_in_bytes", buffer)});
  }
  return out;
}

CgroupLimits ReadLimits(const Folder& cpu, const Folder& memory, std::string& buffer) {
  CgroupLimits out;
  out.cpu_period_us = cpu.ReadNumber("cpu.cfs_period_us", buffer);
  out.cpu_quota_us = cpu.ReadNumber("cpu.cfs_quota_us", buffer);  // -1, none, is no number
  out.cpu_shares = cpu.ReadNumber("cpu.shares", buffer);
  out.memory = memory.ReadNumber("memory.limit_in_bytes", buffer);
  out.memory_and_swap = memory.ReadNumber("memory.memsw.limit_in_bytes", buffer);
  out.memory_reservation = memory.ReadNumber("memory.soft_limit_in_bytes", buffer);
  return out;
}

}  // namespace berth::stats::v1
