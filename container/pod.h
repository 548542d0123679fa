// What a container needs to know of its pod. sandbox/ makes it; container/ knows no sandboxes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/file.h"
#include "cri-proto/cri.h"
#include "kernel/user_namespace.h"

namespace berth::container {

struct UserNamespace {
  base::Path path;
  kernel::UserMap map;
  base::Path images;  // the image store's folder with the owners that it has inside; empty: layers are copied instead
};

struct Pod {
  std::string id;
  std::shared_ptr<const cri::PodSandboxConfig> config;
  std::string runtime;        // runtime handler's name, never empty
  std::string cgroup_parent;  // effective: never empty; "/a/b" with cgroupfs, "….slice" with systemd
  std::string hostname;
  // Pinned namespaces; empty: the host's. pid_namespace is set only where the pod shares one.
  base::Path net_namespace;
  base::Path ipc_namespace;
  base::Path uts_namespace;
  base::Path pid_namespace;
  std::string selinux_label;                    // of its processes; may be empty
  std::optional<UserNamespace> user_namespace;  // it owns the others
  // Files on the host that every container of the pod gets.
  base::Path shm;
  base::Path resolv_conf;
  base::Path hosts;
  base::Path hostname_file;
  // Whether the pod is ready still. Asked once more after a container was published: a pod that is being stopped has
  // either seen it, or is seen here.
  std::function<bool()> ready;
};

}  // namespace berth::container
