// Limits: LinuxContainerResources -> OCI linux.resources.
#pragma once

#include <string>

#include "base/result.h"
#include "cri-proto/cri.h"
#include "oci/spec.h"

namespace berth::container {

struct ResourceOptions {
  bool cgroup_v2 = false;
  bool swap_controller = false;     // memory.swap.max or memory.memsw.limit_in_bytes exists
  bool hugetlb_controller = false;  // without one, hugepage limits of 0 are left out and others are an error
  int64_t pids_limit = 0;           // of every container; 0: none
  int64_t memory_minimum = 0;       // smaller memory limits are an error
};

// 0 means "leave alone" except as the CRI API says otherwise. kInvalidArgument for what contradicts itself or cannot be
// done on this host (`unified` without cgroup v2).
base::Result<oci::Resources> MapResources(const cri::LinuxContainerResources& resources,
                                          const ResourceOptions& options);

}  // namespace berth::container
