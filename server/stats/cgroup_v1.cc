// cgroup v1's files (Documentation/admin-guide/cgroup-v1).
#include <unistd.h>

#include "server/stats/cgroup_reader.h"
#include "server/stats/kernel_text.h"

namespace berth::stats::v1 {
namespace {

std::optional<uint64_t> Number(int folder, const char* name, std::string& buffer) {
  const auto text = ReadText(folder, name, buffer);
  return text ? ParseNumber(*text) : std::nullopt;
}

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

std::optional<uint64_t> ReadCpuUsage(int cpuacct, std::string& buffer) {
  return Number(cpuacct, "cpuacct.usage", buffer);
}

std::optional<CpuStats> ReadCpu(int cpu, int cpuacct, Depth depth, std::string& buffer) {
  const auto usage = ReadCpuUsage(cpuacct, buffer);
  if (!usage) return std::nullopt;
  CpuStats out{.usage_ns = *usage};
  if (depth == Depth::kUsage) return out;
  out.user_ns = Number(cpuacct, "cpuacct.usage_user", buffer);
  out.system_ns = Number(cpuacct, "cpuacct.usage_sys", buffer);
  if (const auto text = ReadText(cpu, "cpu.stat", buffer)) {
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

std::optional<MemoryStats> ReadMemory(int folder, Depth depth, std::string& buffer) {
  const auto usage = Number(folder, "memory.usage_in_bytes", buffer);
  if (!usage) return std::nullopt;
  MemoryStats out{.usage = *usage};
  out.limit = Number(folder, "memory.limit_in_bytes", buffer);
  if (const auto text = ReadText(folder, "memory.stat", buffer)) {
    EachKeyedNumber(*text, [&](std::string_view key, uint64_t value) { AddStat(out, key, value); });
  }
  // memsw counts memory and swap together. The two files are not read at one moment, so their difference may be below
  // 0.
  if (const auto both = Number(folder, "memory.memsw.usage_in_bytes", buffer)) {
    out.swap = *both > out.usage ? *both - out.usage : 0;
    const auto limit = Number(folder, "memory.memsw.limit_in_bytes", buffer);
    if (limit && out.limit) out.swap_limit = *limit > *out.limit ? *limit - *out.limit : 0;
  }
  if (depth == Depth::kUsage) return out;
  out.peak = Number(folder, "memory.max_usage_in_bytes", buffer);
  out.kernel = Number(folder, "memory.kmem.usage_in_bytes", buffer).value_or(0);
  out.fail_count = Number(folder, "memory.failcnt", buffer);
  if (const auto text = ReadText(folder, "memory.oom_control", buffer)) {
    EachKeyedNumber(*text, [&](std::string_view key, uint64_t value) {
      if (key == "oom_kill") out.oom_kills = value;
    });
  }
  return out;
}

std::vector<DeviceIo> ReadIo(int folder, std::string& buffer) {
  const auto bytes = ReadText(folder, "blkio.throttle.io_service_bytes_recursive", buffer);
  if (!bytes) return {};
  const std::string kept(*bytes);
  const auto operations = ReadText(folder, "blkio.throttle.io_serviced_recursive", buffer);
  return ParseBlkio(kept, operations.value_or(""));
}

std::vector<HugePages> ReadHugePages(int folder, const std::vector<std::string>& sizes, std::string& buffer) {
  std::vector<HugePages> out;
  for (const std::string& size : sizes) {
    const std::string name = "hugetlb." + size;
    const auto usage = Number(folder, (name + ".usage_in_bytes").c_str(), buffer);
    if (!usage) continue;
    out.push_back(
        {.size = size, .usage = *usage, .peak = Number(folder, (name + ".max_usage_in_bytes").c_str(), buffer)});
  }
  return out;
}

CgroupLimits ReadLimits(int cpu, int memory, std::string& buffer) {
  CgroupLimits out;
  out.cpu_period_us = Number(cpu, "cpu.cfs_period_us", buffer);
  out.cpu_quota_us = Number(cpu, "cpu.cfs_quota_us", buffer);  // -1, none, is no number
  out.cpu_shares = Number(cpu, "cpu.shares", buffer);
  out.memory = Number(memory, "memory.limit_in_bytes", buffer);
  out.memory_and_swap = Number(memory, "memory.memsw.limit_in_bytes", buffer);
  out.memory_reservation = Number(memory, "memory.soft_limit_in_bytes", buffer);
  return out;
}

}  // namespace berth::stats::v1
