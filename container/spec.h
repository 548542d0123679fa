// From a CRI request to an OCI config.json: everything but what happens on the host.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "container/handler.h"
#include "container/hooks.h"
#include "container/mounts.h"
#include "container/pod.h"
#include "container/resources.h"
#include "container/selinux.h"
#include "container/user.h"
#include "cri-proto/cri.h"
#include "image/manifest.h"
#include "kernel/foreign_path.h"
#include "oci/spec.h"

namespace runtime::v1 {
class NamespaceOption;
}  // namespace runtime::v1

namespace berth::container {

// What the host and the configuration say; the same for every container.
struct SpecOptions {
  const HookFolders* hooks = nullptr;  // null: none
  std::vector<std::string> default_capabilities;
  uint64_t own_capabilities = 0;  // the daemon's bounding set
  bool clamp_oom_score_adj = true;
  bool apparmor_default_loads = false;
  ResourceOptions resources;
  Handler handler;                   // that the pod runs with
  std::vector<oci::Rlimit> rlimits;  // of every process; empty: the daemon's own
  bool device_owner_from_security_context = false;
  MountOptions mounts;
  std::string oci_version = "1.0.2";  // that the runtime in use understands
};

struct SpecRequest {
  const cri::ContainerConfig& config;
  const Pod& pod;
  const image::ImageConfig& image;
  const User& user;
  std::string container_id;
  std::string image_name;
  base::Path rootfs;         // where the overlay is mounted
  std::string cgroups_path;  // for the runtime
  Labels labels;
  base::Path target_namespace;  // pid namespace to join in mode TARGET
};

// The container's own, or its pod's where it says nothing.
const cri::NamespaceOption& NamespacesOf(const cri::ContainerConfig& config, const Pod& pod);

// Checks what can be checked without the image and without any effect: for the start of CreateContainer.
base::Status CheckConfig(const cri::ContainerConfig& config, const Pod& pod);

// Looks at host paths (mounts, devices) through `paths`. kInvalidArgument names the field; kUnimplemented what this
// version cannot do. Nothing that the request asks for is dropped in silence.
base::Result<oci::Spec> BuildSpec(const SpecRequest& request, const SpecOptions& options, kernel::ForeignPaths& paths,
                                  const base::Context& context);

}  // namespace berth::container
