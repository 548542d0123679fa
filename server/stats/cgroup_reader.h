// One cgroup's figures, read through descriptors of its folders and files that are kept: no path is walked and nothing
// is executed.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "kernel/cgroup.h"
#include "server/stats/cgroup_stats.h"
#include "server/stats/folder.h"

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
  // At most this many files of Depth::kUsage stay open, where that is wanted.
  static constexpr size_t kMaxKept = 10;

  // `group` as kernel::ResolveCgroup returns it. kNotFound when it exists in no hierarchy.
  static base::Result<CgroupReader> Open(const kernel::CgroupTree& tree, const base::Path& group,
                                         std::vector<std::string> huge_page_sizes, bool keep_files);

  // kNotFound once the group is gone.
  base::Result<CgroupStats> Read(Depth depth) const;
  // The counter of processor time alone, in nanoseconds; absent once the group is gone.
  std::optional<uint64_t> ReadCpuUsage() const;
  CgroupLimits ReadLimits() const;

 private:
  // v2: `cpu` alone is valid and stands for all. v1: one for each hierarchy, those that are missing are not.
  struct Folders {
    bool unified = false;
    Folder cpu;
    Folder cpuacct;
    Folder memory;
    Folder pids;
    Folder io;
    Folder hugetlb;
  };

  std::string group_;
  Folders folders_;
  std::vector<std::string> huge_page_sizes_;
};

namespace v1 {
std::optional<uint64_t> ReadCpuUsage(const Folder& cpuacct, std::string& buffer);
std::optional<CpuStats> ReadCpu(const Folder& cpu, const Folder& cpuacct, Depth depth, std::string& buffer);
std::optional<MemoryStats> ReadMemory(const Folder& folder, Depth depth, std::string& buffer);
std::vector<DeviceIo> ReadIo(const Folder& folder, std::string& buffer);
std::vector<HugePages> ReadHugePages(const Folder& folder, const std::vector<std::string>& sizes, std::string& buffer);
CgroupLimits ReadLimits(const Folder& cpu, const Folder& memory, std::string& buffer);
}  // namespace v1

namespace v2 {
std::optional<uint64_t> ReadCpuUsage(const Folder& folder, std::string& buffer);
std::optional<CpuStats> ReadCpu(const Folder& folder, std::string& buffer);
std::optional<MemoryStats> ReadMemory(const Folder& folder, Depth depth, std::string& buffer);
std::vector<HugePages> ReadHugePages(const Folder& folder, const std::vector<std::string>& sizes, std::string& buffer);
CgroupLimits ReadLimits(const Folder& folder, std::string& buffer);
}  // namespace v2

}  // namespace berth::stats
