#include "container/resources.h"

#include <algorithm>

#include "cri-proto/api.pb.h"

namespace berth::container {

base::Result<oci::Resources> MapResources(const cri::LinuxContainerResources& resources,
                                          const ResourceOptions& options) {
  oci::Resources out;
  const auto invalid = [](const auto&... parts) {
    return base::Fail(base::Code::kInvalidArgument, "resources: ", parts...);
  };
  if (resources.cpu_period() < 0 || resources.cpu_shares() < 0)
    return invalid("cpu_period and cpu_shares cannot be negative");
  if (resources.cpu_quota() < -1) return invalid("cpu_quota ", resources.cpu_quota(), " is negative");
  for (const std::string* set : {&resources.cpuset_cpus(), &resources.cpuset_mems()}) {
    if (set->find_first_not_of("0123456789,-") == std::string::npos) continue;
    return invalid(set == &resources.cpuset_cpus() ? "cpuset_cpus" : "cpuset_mems", " \"", *set,
                   "\" is no list of numbers and ranges");
  }
  if (resources.cpu_period() > 0) out.cpu_period = static_cast<uint64_t>(resources.cpu_period());
  if (resources.cpu_quota() != 0) out.cpu_quota = resources.cpu_quota();
  // The kernel has no less and no more; it and the runtimes are not at one whether to say so.
  if (resources.cpu_shares() > 0)
    out.cpu_shares = static_cast<uint64_t>(std::clamp<int64_t>(resources.cpu_shares(), 2, 262144));
  out.cpuset_cpus = resources.cpuset_cpus();
  out.cpuset_mems = resources.cpuset_mems();

  const int64_t memory = resources.memory_limit_in_bytes();
  const int64_t swap = resources.memory_swap_limit_in_bytes();
  if (memory < 0 && memory != -1) return invalid("memory_limit_in_bytes ", memory, " is negative");
  if (swap < 0 && swap != -1) return invalid("memory_swap_limit_in_bytes ", swap, " is negative");
  if (memory > 0 && memory < options.memory_minimum) {
    return invalid("memory_limit_in_bytes ", memory, " is below the least that this node takes, ",
                   options.memory_minimum);
  }
  if (swap > 0 && memory <= 0)
    return invalid("memory_swap_limit_in_bytes ", swap, " needs memory_limit_in_bytes, which it includes");
  if (memory != 0) out.memory_limit = memory;
  if (swap > 0 && memory > 0 && swap < memory) {
    return invalid("memory_swap_limit_in_bytes ", swap,
                   " is memory and swap together and cannot be below the memory limit ", memory);
  }
  if (options.swap_controller) {
    if (swap != 0)
      out.memory_swap = swap;
    else if (memory > 0)
      out.memory_swap = memory;  // no swap
  }

  for (const cri::HugepageLimit& limit : resources.hugepage_limits()) {
    const std::string& size = limit.page_size();
    const size_t digits = size.find_first_not_of("0123456789");
    if (digits == 0 || digits == std::string::npos ||
        (size.substr(digits) != "KB" && size.substr(digits) != "MB" && size.substr(digits) != "GB")) {
      return invalid("hugepage_limits: page_size \"", size, "\" is not of the form 2MB");
    }
    if (!options.hugetlb_controller) {
      // The kubelet sends 0 for every size there is, whether or not pods can use them.
      if (limit.limit() == 0) continue;
      return invalid("hugepage_limits: this host has no hugetlb cgroup controller");
    }
    out.hugepage_limits.push_back({.page_size = limit.page_size(), .limit = limit.limit()});
  }
  if (!resources.unified().empty() && !options.cgroup_v2) return invalid("unified needs cgroup v2");
  for (const auto& [key, value] : resources.unified()) {
    if (key.empty() || key.find('/') != std::string::npos)
      return invalid("unified: \"", key, "\" is not a cgroup file");
    out.unified.emplace(key, value);
  }
  if (options.pids_limit > 0) out.pids_limit = options.pids_limit;
  return out;
}

}  // namespace berth::container
