// What a cgroup's files say, v1 and v2 alike, as plain numbers. What is absent is not known here: the controller is
// off, the kernel too old, or there is no such limit.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace berth::stats {

// One line of pressure stall information (psi.rst): percentages over windows, and the time stalled so far.
struct PressureLine {
  double avg10 = 0;
  double avg60 = 0;
  double avg300 = 0;
  uint64_t total_ns = 0;
  bool operator==(const PressureLine&) const = default;
};
struct Pressure {
  std::optional<PressureLine> some;
  std::optional<PressureLine> full;  // cpu.pressure has none at system level and in old kernels
  bool operator==(const Pressure&) const = default;
};

struct CpuStats {
  struct Throttling {
    uint64_t periods = 0;
    uint64_t throttled_periods = 0;
    uint64_t throttled_ns = 0;
    bool operator==(const Throttling&) const = default;
  };
  uint64_t usage_ns = 0;
  std::optional<uint64_t> user_ns;
  std::optional<uint64_t> system_ns;
  std::optional<Throttling> throttling;
  std::optional<Pressure> pressure;
};

struct MemoryStats {
  uint64_t usage = 0;
  std::optional<uint64_t> limit;
  std::optional<uint64_t> peak;
  uint64_t inactive_file = 0;
  uint64_t active_file = 0;
  uint64_t cache = 0;
  uint64_t rss = 0;
  uint64_t mapped_file = 0;
  uint64_t kernel = 0;
  uint64_t page_faults = 0;
  uint64_t major_page_faults = 0;
  std::optional<uint64_t> fail_count;
  std::optional<uint64_t> oom_kills;
  std::optional<uint64_t> swap;  // absent: swap is not accounted
  std::optional<uint64_t> swap_limit;
  std::optional<Pressure> pressure;

  // What cannot be taken back without swapping; what the kubelet evicts by.
  uint64_t working_set() const { return usage > inactive_file ? usage - inactive_file : 0; }
  // 0 without a limit, as other runtimes say it.
  uint64_t available() const { return limit && *limit > working_set() ? *limit - working_set() : 0; }
};

struct PidsStats {
  uint64_t current = 0;
  std::optional<uint64_t> limit;
};

struct DeviceIo {
  uint32_t major = 0;
  uint32_t minor = 0;
  uint64_t read_bytes = 0;
  uint64_t write_bytes = 0;
  uint64_t discard_bytes = 0;
  uint64_t reads = 0;
  uint64_t writes = 0;
  uint64_t discards = 0;
  bool operator==(const DeviceIo&) const = default;
};

struct HugePages {
  std::string size;  // "2MB"
  uint64_t usage = 0;
  std::optional<uint64_t> peak;  // v1 alone
  bool operator==(const HugePages&) const = default;
};

struct CgroupStats {
  int64_t time = 0;  // of the reading, Unix nanoseconds
  std::optional<CpuStats> cpu;
  std::optional<MemoryStats> memory;
  std::optional<PidsStats> pids;
  std::vector<DeviceIo> io;
  std::optional<Pressure> io_pressure;
  std::vector<HugePages> huge_pages;
};

// What was set, as the kernel has it.
struct CgroupLimits {
  std::optional<uint64_t> cpu_period_us;
  std::optional<uint64_t> cpu_quota_us;
  std::optional<uint64_t> cpu_shares;
  std::optional<uint64_t> memory;
  std::optional<uint64_t> memory_and_swap;
  std::optional<uint64_t> memory_reservation;
};

}  // namespace berth::stats
