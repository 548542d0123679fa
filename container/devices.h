// Device nodes and the device cgroup's rules.
#pragma once

#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "cri-proto/cri.h"
#include "kernel/foreign_path.h"
#include "oci/spec.h"

namespace berth::container {

struct DevicePlan {
  std::vector<oci::Device> devices;
  std::vector<oci::DeviceRule> rules;  // the first one denies all, or for privileged containers allows all
};

// Privileged containers get every device of /dev and may use all. Others get the request's, on top of those that every
// OCI runtime makes itself; a folder below /dev stands for every device in it. kInvalidArgument names the device's host_path.
base::Result<DevicePlan> MapDevices(const cri::ContainerConfig& config, kernel::ForeignPaths& paths,
                                    const base::Context& context);

}  // namespace berth::container
