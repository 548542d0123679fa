// One cgroup's figures, read through descriptors of its folders that are kept: no path is walked and nothing is
// executed.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "kernel/cgroup.h"
#include "server/stats/cgroup_stats.h"

namespace berth::stats {

enum class Depth {
  kUsage,  // what the statistics calls tell, of cpu, memory, pids, pressure; each file more is felt with a hundred
           // containers
  kAll,    // every figure, io by device and huge pages too
};

// The host's huge page sizes as cgroup files name them: "2MB", "1GB". Empty when the folder is not there.
std::vector<std::string> HugePageSizes(const base::Path& folder = "/sys/kernel/mm/hugepages");

// Constant once open; thread-safe.
class CgroupReader {
 public:
  // `group` as kernel::ResolveCgroup returns it. kNotFound when it exists in no hierarchy.
  static base::Result<CgroupReader> Open(const kernel::CgroupTree& tree, const base::Path& group,
                                         std::vector<std::string> huge_page_sizes);

  // kNotFound once the group is gone.
  base::Result<CgroupStats> Read(Depth depth) const;
  // The counter of processor time alone, in nanoseconds; absent once the group is gone.
  std::optional<uint64_t> ReadCpuUsage() const;
  CgroupLimits ReadLimits() const;

 private:
  // v2: `cpu` alone is open and stands for all. v1: one for each hierarchy, those that are missing stay closed.
  struct Folders {
    bool unified = false;
    base::UniqueFd cpu;
    base::UniqueFd cpuacct;
    base::UniqueFd memory;
    base::UniqueFd pids;
    base::UniqueFd io;
    base::UniqueFd hugetlb;
  };

  std::string group_;
  Folders folders_;
  std::vector<std::string> huge_page_sizes_;
};

namespace v1 {
std::optional<uint64_t> ReadCpuUsage(int cpuacct, std::string& buffer);
std::optional<CpuStats> ReadCpu(int cpu, int cpuacct, Depth depth, std::string& buffer);
std::optional<MemoryStats> ReadMemory(int folder, Depth depth, std::string& buffer);
std::vector<DeviceIo> ReadIo(int folder, std::string& buffer);
std::vector<HugePages> ReadHugePages(int folder, const std::vector<std::string>& sizes, std::string& buffer);
CgroupLimits ReadLimits(int cpu, int memory, std::string& buffer);
}  // namespace v1

namespace v2 {
std::optional<uint64_t> ReadCpuUsage(int folder, std::string& buffer);
std::optional<CpuStats> ReadCpu(int folder, std::string& buffer);
std::optional<MemoryStats> ReadMemory(int folder, Depth depth, std::string& buffer);
std::vector<HugePages> ReadHugePages(int folder, const std::vector<std::string>& sizes, std::string& buffer);
CgroupLimits ReadLimits(int folder, std::string& buffer);
}  // namespace v2

}  // namespace berth::stats
