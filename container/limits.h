// Limits of a container that is there already: UpdateContainerResources.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/file.h"
#include "base/result.h"
#include "cri-proto/cri.h"
#include "kernel/cgroup.h"
#include "kernel/cgroup_change.h"
#include "oci/spec.h"

namespace berth::container {

// `old` with what `update` says: fields that are zero or empty there are left alone, huge pages by their size and
// `unified` by its keys. oom_score_adj stays, which the kernel keeps for each process and not for the container.
cri::LinuxContainerResources MergeResources(const cri::LinuxContainerResources& old,
                                            const cri::LinuxContainerResources& update);

// Of `whole` (that is, mapped from the merged ones) what an update that names these fields has to set.
oci::Resources OnlyUpdated(oci::Resources whole, const cri::LinuxContainerResources& update);

// The same for systemd, by their names on D-Bus (systemd.resource-control(5)): what it does not know it takes back at
// its next reload. crun 1.8 tells it the weight alone. For cgroup v2.
std::map<std::string, uint64_t> UnitLimits(const oci::Resources& limits);

// Writes the limits into the group's files, v1 or v2, in an order that the kernel takes at each step, `unified` last.
// Not the shares on v2: their weight is a formula of the OCI runtime's. An error names the field; `change` then still
// holds what was written, for the caller to undo.
base::Status WriteLimits(const oci::Resources& limits, const kernel::CgroupTree& cgroups, const base::Path& group,
                         kernel::CgroupChange& change);

}  // namespace berth::container
