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

struct DeviceOptions {
  bool without_host_devices = false;         // a privileged container gets what it names alone, like any other
  bool owner_from_security_context = false;  // requested devices belong to run_as_user and run_as_group
};

// Privileged containers get every device of /dev and may use all. Others get the request's, on top of those that every
// OCI runtime makes itself; a folder below /dev stands for every device in it. kInvalidArgument names the device's
// host_path.
base::Result<DevicePlan> MapDevices(const cri::ContainerConfig& config, kernel::ForeignPaths& paths,
                                    const base::Context& context, const DeviceOptions& options = {});

}  // namespace berth::container
