// What the tests of the mapping share.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/context.h"
#include "base/strings.h"
#include "container/pod.h"
#include "cri-proto/api.pb.h"
#include "kernel/foreign_path.h"
#include "tests/unit/kernel/temp_folder.h"

namespace berth::container {

inline const base::Context kLong = base::Context().WithTimeout(std::chrono::seconds(60));

inline kernel::ForeignPaths::Options WithHelper() {
  return {.helper = BERTH_HELPER, .deadline = std::chrono::seconds(60)};
}

// A pod with namespaces of its own and a pid namespace for each container.
inline Pod SomePod() {
  auto config = std::make_shared<cri::PodSandboxConfig>();
  config->mutable_metadata()->set_name("web");
  config->mutable_metadata()->set_namespace_("shop");
  config->mutable_metadata()->set_uid("u1");
  config->set_log_directory("/var/log/pods/web");
  config->mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(cri::CONTAINER);
  return {.id = "p1",
          .config = config,
          .runtime = "crun",
          .cgroup_parent = "/kubepods/podu1",
          .hostname = "web",
          .net_namespace = "/run/netns/berth-p1",
          .ipc_namespace = "/run/berth/p1/ns/ipc",
          .uts_namespace = "/run/berth/p1/ns/uts",
          .pid_namespace = {},
          .shm = "/run/berth/p1/shm",
          .resolv_conf = "/run/berth/p1/resolv.conf",
          .hosts = "/run/berth/p1/hosts",
          .hostname_file = "/run/berth/p1/hostname",
          .ready = {}};
}
// The same with another request.
template <typename Change>
Pod SomePod(Change change) {
  Pod pod = SomePod();
  auto config = std::make_shared<cri::PodSandboxConfig>(*pod.config);
  change(*config);
  pod.config = std::move(config);
  return pod;
}

inline cri::ContainerConfig SomeContainer() {
  cri::ContainerConfig config;
  config.mutable_metadata()->set_name("app");
  config.mutable_image()->set_image("sha256:1");
  config.add_command("/bin/app");
  config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(cri::CONTAINER);
  return config;
}
inline cri::LinuxContainerSecurityContext& Security(cri::ContainerConfig& config) {
  return *config.mutable_linux()->mutable_security_context();
}

// The error's text; "" for success.
template <typename T>
std::string ErrorOf(const base::Result<T>& result) {
  return result ? "" : result.error().message;
}

}  // namespace berth::container
