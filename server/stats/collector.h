// The figures of pods and containers by id: what is kept between two readings lives here.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/guarded.h"
#include "base/result.h"
#include "kernel/cgroup.h"
#include "server/stats/cgroup_reader.h"
#include "server/stats/cpu_rate.h"
#include "server/stats/usage.h"

namespace berth::stats {

// Thread-safe. Each call reads files of the kernel for microseconds; none executes anything.
class Collector {
 public:
  struct Options {
    const kernel::CgroupTree* cgroups = nullptr;  // outlives the collector
    bool keep_files = true;  // false: of a tree that is not a kernel's, whose files can be read once they are removed
    const kernel::ProjectQuota* quota = nullptr;  // of where the writable layers are; outlives it too
    std::chrono::nanoseconds usage_period = std::chrono::seconds(10);
  };
  explicit Collector(const Options& options);

  struct Reading {
    CgroupStats stats;
    std::optional<uint64_t> nano_cores;  // CpuRate
  };
  // `cgroup` as OCI or the kubelet writes it. kNotFound when there is no such group (any more).
  base::Result<Reading> Read(const std::string& id, const std::string& cgroup, Depth depth);
  // Keeps the group's processor time of now for the rate that a later Read tells.
  void Sample(const std::string& id, const std::string& cgroup);
  base::Result<CgroupLimits> ReadLimits(const std::string& id, const std::string& cgroup);
  // Those in the group and below.
  base::Result<std::vector<pid_t>> Processes(const std::string& cgroup) const;
  // Of a writable layer.
  std::optional<TreeUsage> Usage(const std::string& id, const base::Path& folder) { return usage_.Get(id, folder); }

  // Forgets all others, and closes what was open for them.
  void Keep(const std::set<std::string>& ids);
  size_t size() { return entries_.Lock()->size(); }

 private:
  struct Entry {
    explicit Entry(CgroupReader given) : reader(std::move(given)) {}
    const CgroupReader reader;
    base::Guarded<CpuRate> rate;
  };
  base::Result<std::shared_ptr<Entry>> Find(const std::string& id, const std::string& cgroup);

  const kernel::CgroupTree& cgroups_;
  const std::vector<std::string> huge_page_sizes_;
  const size_t groups_to_keep_;
  base::Guarded<std::map<std::string, std::shared_ptr<Entry>>> entries_;
  UsageCache usage_;
};

}  // namespace berth::stats
