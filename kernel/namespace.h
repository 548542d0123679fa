// Namespaces that live without a process: made by a short-lived thread and pinned by a bind mount.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"
#include "kernel/user_namespace.h"

namespace berth::kernel {

struct NamespaceRequest {
  // Where each new namespace is pinned; absent: that one is not made. The file must not exist yet, its folder is made.
  std::optional<base::Path> net;
  std::optional<base::Path> ipc;
  std::optional<base::Path> uts;
  // With this the others belong to a new user namespace with this map. Needs `helper`, the program.
  std::optional<base::Path> user;
  UserMap map;
  base::Path helper;
  std::string hostname;  // needs uts; empty: the host's name is inherited
  // Names with dots or slashes, as sysctl(8) reads them. Each must belong to one of the namespaces made here.
  std::vector<std::pair<std::string, std::string>> sysctls;
  bool loopback_up = true;  // needs net; the kernel gives an `lo` that is up 127.0.0.1/8 and ::1
};
// All or nothing: what was pinned before a failure is unpinned again, and what that left behind is in Error::clean_up.
// kInvalidArgument names a sysctl that is refused, before anything was made. kAlreadyExists when a file is there
// already.
base::Status CreateNamespaces(const NamespaceRequest& request);

// Detaches and unlinks. Nothing there, or a file that was never mounted on, is success.
base::Status UnpinNamespace(const base::Path& path);

// Makes the folder a shared mount of its own as `ip netns` does, so that what is pinned in it is seen in (and goes away
// from) every mount namespace that came from ours. Idempotent.
base::Status PrepareNetnsFolder(const base::Path& folder);

// Whether a namespace is pinned at `path`. A missing path is not one.
base::Result<bool> IsNamespaceFile(const base::Path& path);

// Which namespace a sysctl belongs to, and its file below /proc/sys. kInvalidArgument, naming it, for one that is not
// namespaced, is set otherwise (kernel.hostname) or has an impossible name.
enum class SysctlNamespace { kNet, kIpc, kUts };
struct Sysctl {
  SysctlNamespace space = SysctlNamespace::kNet;
  base::Path file;  // relative: "net/ipv4/ip_forward"
};
base::Result<Sysctl> ParseSysctl(std::string_view name);

// Runs `work` on a thread of its own inside the network namespace pinned at `path` and returns what it returns. When
// the context ends first its error is returned and the thread goes on alone: `work` must own all that it uses and must
// itself end in bounded time.
base::Status RunInNetNs(const base::Path& path, std::function<base::Status()> work, const base::Context& context);

}  // namespace berth::kernel
