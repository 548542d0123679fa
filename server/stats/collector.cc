#include "server/stats/collector.h"

#include <sys/resource.h>

#include <algorithm>

#include "base/time.h"

namespace berth::stats {

using base::Result;

namespace {

// Of how many groups files stay open: a quarter of the descriptors that this process may have, and in the kernel about
// 50 KiB for each group.
size_t GroupsToKeep() {
  constexpr rlim_t kMost = 1000;
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return 0;
  return std::min(kMost, files.rlim_cur / 4 / CgroupReader::kMaxKept);
}

}  // namespace

Collector::Collector(const Options& options)
    : cgroups_(*options.cgroups),
      huge_page_sizes_(HugePageSizes()),
      groups_to_keep_(options.keep_files ? GroupsToKeep() : 0),
      usage_(options.usage_period, options.quota) {}

Result<std::shared_ptr<Collector::Entry>> Collector::Find(const std::string& id, const std::string& cgroup) {
  auto known = entries_.With([&](const auto& all) {
    const auto at = all.find(id);
    return at == all.end() ? nullptr : at->second;
  });
  if (known) return known;
  ASSIGN_OR_RETURN(const base::Path group, kernel::ResolveCgroup(cgroup));
  ASSIGN_OR_RETURN(CgroupReader reader,
                   CgroupReader::Open(cgroups_, group, huge_page_sizes_, size() < groups_to_keep_));
  auto made = std::make_shared<Entry>(std::move(reader));
  // Another thread may have been first; its history is the longer one.
  return entries_.With([&](auto& all) { return all.try_emplace(id, made).first->second; });
}

Result<Collector::Reading> Collector::Read(const std::string& id, const std::string& cgroup, Depth depth) {
  ASSIGN_OR_RETURN(const auto entry, Find(id, cgroup));
  auto stats = entry->reader.Read(depth);
  if (!stats) {
    entries_.With([&](auto& all) {
      if (const auto at = all.find(id); at != all.end() && at->second == entry) all.erase(at);
    });
    return tl::make_unexpected(std::move(stats).error());
  }
  Reading out{.stats = *std::move(stats), .nano_cores = std::nullopt};
  if (out.stats.cpu) {
    out.nano_cores =
        entry->rate.With([&](CpuRate& rate) { return rate.Observe(out.stats.time, out.stats.cpu->usage_ns); });
  }
  return out;
}

void Collector::Sample(const std::string& id, const std::string& cgroup) {
  const auto entry = Find(id, cgroup);
  if (!entry) return;
  const int64_t now = base::UnixNanos();
  const auto usage = (*entry)->reader.ReadCpuUsage();
  if (usage) (*entry)->rate.With([&](CpuRate& rate) { (void)rate.Observe(now, *usage); });
}

Result<CgroupLimits> Collector::ReadLimits(const std::string& id, const std::string& cgroup) {
  ASSIGN_OR_RETURN(const auto entry, Find(id, cgroup));
  return entry->reader.ReadLimits();
}

Result<std::vector<pid_t>> Collector::Processes(const std::string& cgroup) const {
  ASSIGN_OR_RETURN(const base::Path group, kernel::ResolveCgroup(cgroup));
  return cgroups_.Processes(group);
}

void Collector::Keep(const std::set<std::string>& ids) {
  std::vector<std::shared_ptr<Entry>> dropped;  // descriptors are closed without the lock
  entries_.With([&](auto& all) {
    std::erase_if(all, [&](auto& entry) {
      if (ids.contains(entry.first)) return false;
      dropped.push_back(std::move(entry.second));
      return true;
    });
  });
  usage_.Keep(ids);
}

}  // namespace berth::stats
