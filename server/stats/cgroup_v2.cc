// cgroup v2's files (Documentation/admin-guide/cgroup-v2).
#include "base/strings.h"
#include "server/stats/cgroup_reader.h"
#include "server/stats/kernel_text.h"

namespace berth::stats::v2 {
namespace {

std::optional<Pressure> ReadPressure(const Folder& folder, const char* name, std::string& buffer) {
  const auto text = folder.Read(name, buffer);
  return text ? ParsePressure(*text) : std::nullopt;
}

void ReadMemoryStat(const Folder& folder, MemoryStats& out, std::string& buffer) {
  const auto text = folder.Read("memory.stat", buffer);
  if (!text) return;
  std::optional<uint64_t> kernel;
  uint64_t parts = 0;  // older kernels have no sum
  EachKeyedNumber(*text, [&](std::string_view key, uint64_t value) {
    if (key == "inactive_file")
      out.inactive_file = value;
    else if (key == "active_file")
      out.active_file = value;
    else if (key == "file")
      out.cache = value;
    else if (key == "anon")
      out.rss = value;
    else if (key == "file_mapped")
      out.mapped_file = value;
    else if (key == "pgfault")
      out.page_faults = value;
    else if (key == "pgmajfault")
      out.major_page_faults = value;
    else if (key == "kernel")
      kernel = value;
    else if (key == "kernel_stack" || key == "pagetables" || key == "percpu" || key == "sock" || key == "slab")
      parts += value;
  });
  out.kernel = kernel.value_or(parts);
}

// The inverse of how OCI runtimes have long turned shares (2..262144) into weights (1..10000).
uint64_t SharesOfWeight(uint64_t weight) {
  return weight == 0 ? 0 : 2 + (weight - 1) * 262142 / 9999;
}

}  // namespace

std::optional<uint64_t> ReadCpuUsage(const Folder& folder, std::string& buffer) {
  const auto text = folder.Read("cpu.stat", buffer);
  if (!text) return std::nullopt;
  std::optional<uint64_t> usage;
  EachKeyedNumber(*text, [&](std::string_view key, uint64_t value) {
    if (key == "usage_usec") usage = value * 1000;
  });
  return usage;
}

std::optional<CpuStats> ReadCpu(const Folder& folder, std::string& buffer) {
  const auto text = folder.Read("cpu.stat", buffer);
  if (!text) return std::nullopt;
  CpuStats out;
  CpuStats::Throttling throttling;
  bool throttles = false;  // those lines are there only where the cpu controller is on
  bool used = false;
  EachKeyedNumber(*text, [&](std::string_view key, uint64_t value) {
    if (key == "usage_usec")
      out.usage_ns = value * 1000, used = true;
    else if (key == "user_usec")
      out.user_ns = value * 1000;
    else if (key == "system_usec")
      out.system_ns = value * 1000;
    else if (key == "nr_periods")
      throttling.periods = value, throttles = true;
    else if (key == "nr_throttled")
      throttling.throttled_periods = value;
    else if (key == "throttled_usec")
      throttling.throttled_ns = value * 1000;
  });
  if (!used) return std::nullopt;
  if (throttles) out.throttling = throttling;
  out.pressure = ReadPressure(folder, "cpu.pressure", buffer);
  return out;
}

std::optional<MemoryStats> ReadMemory(const Folder& folder, Depth depth, std::string& buffer) {
  const auto usage = folder.ReadNumber("memory.current", buffer);
  if (!usage) return std::nullopt;
  MemoryStats out{.usage = *usage};
  out.limit = folder.ReadNumber("memory.max", buffer);
  ReadMemoryStat(folder, out, buffer);
  out.swap = folder.ReadNumber("memory.swap.current", buffer);
  out.swap_limit = folder.ReadNumber("memory.swap.max", buffer);
  out.pressure = ReadPressure(folder, "memory.pressure", buffer);
  if (depth == Depth::kUsage) return out;
  out.peak = folder.ReadNumber("memory.peak", buffer);
  if (const auto text = folder.Read("memory.events", buffer)) {
    EachKeyedNumber(*text, [&](std::string_view key, uint64_t value) {
      if (key == "max")
        out.fail_count = value;
      else if (key == "oom_kill")
        out.oom_kills = value;
    });
  }
  return out;
}

std::vector<HugePages> ReadHugePages(const Folder& folder, const std::vector<std::string>& sizes, std::string& buffer) {
  std::vector<HugePages> out;
  for (const std::string& size : sizes) {
    const auto usage = folder.ReadNumber(base::Cat("hugetlb.", size, ".current"), buffer);
    if (usage) out.push_back({.size = size, .usage = *usage});
  }
  return out;
}

CgroupLimits ReadLimits(const Folder& folder, std::string& buffer) {
  CgroupLimits out;
  if (const auto text = folder.Read("cpu.max", buffer)) {  // "max 100000" or "50000 100000"
    const auto words = base::Split(base::Trim(*text), ' ');
    out.cpu_quota_us = ParseNumber(words.front());
    if (words.size() == 2) out.cpu_period_us = ParseNumber(words.back());
  }
  if (const auto weight = folder.ReadNumber("cpu.weight", buffer)) out.cpu_shares = SharesOfWeight(*weight);
  out.memory = folder.ReadNumber("memory.max", buffer);
  const auto swap = folder.ReadNumber("memory.swap.max", buffer);
  if (out.memory && swap) out.memory_and_swap = *out.memory + *swap;
  out.memory_reservation = folder.ReadNumber("memory.min", buffer);
  return out;
}

}  // namespace berth::stats::v2
