// An update of a container's limits that is under way, as it is kept in the run root: a daemon that is killed in
// between leaves it to the next one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cri-proto/api.pb.h"
#include "cri-proto/cri.h"
#include "kernel/cgroup_change.h"

namespace berth::container {

struct UnfinishedUpdate {
  cri::LinuxContainerResources record;           // what the container's record says until the update is done
  std::vector<kernel::CgroupChange::Kept> kept;  // what the kernel said before
};

// JSON. Decode never crashes on foreign bytes.
std::string Encode(const UnfinishedUpdate& update);
base::Result<UnfinishedUpdate> DecodeUpdate(std::string_view text);

// Whether the record has meanwhile become another: then the update is done.
bool IsDone(const UnfinishedUpdate& update, const cri::LinuxContainerResources& record);

}  // namespace berth::container
