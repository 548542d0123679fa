#include "container/mounts.h"

#include <algorithm>
#include <filesystem>

#include "cri-proto/api.pb.h"
#include "kernel/mount.h"

namespace berth::container {
namespace {

using base::Code;
using base::Fail;

oci::Mount Bind(const std::string& destination, const base::Path& source, std::vector<std::string> options) {
  return {.destination = destination, .type = "bind", .source = source.native(), .options = std::move(options)};
}

// The group of terminals is 5 nearly everywhere; a map of fewer ids has none such.
std::vector<std::string> TerminalOptions(const Pod& pod) {
  std::vector<std::string> out = {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"};
  if (!pod.user_namespace || pod.user_namespace->map.gids.size > 5) out.emplace_back("gid=5");
  return out;
}

// sysfs shows a network namespace, and only who owns that may mount it.
oci::Mount SysMount(const Pod& pod, const std::string& access, bool recursive_read_only) {
  if (!pod.user_namespace || !pod.net_namespace.empty())
    return {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", access}, {}, {}};
  return Bind("/sys", "/sys", {"rbind", "rprivate", "nosuid", "noexec", "nodev", recursive_read_only ? "rro" : "ro"});
}

// Mounted from the host's own cgroup namespace, which a privileged container on v2 is in, cgroup2 takes the new mount's
// options for the whole system: it would end the host's nsdelegate. So there it is the host's own mount.
oci::Mount CgroupMount(bool privileged, bool v2, bool systemd) {
  if (privileged && v2)
    return Bind("/sys/fs/cgroup", "/sys/fs/cgroup",
                {"rbind", "rprivate", "nosuid", "noexec", "nodev", "relatime", "rw"});
  return {"/sys/fs/cgroup",
          "cgroup",
          "cgroup",
          {"nosuid", "noexec", "nodev", "relatime", privileged || (v2 && systemd) ? "rw" : "ro"},
          {},
          {}};
}

std::vector<oci::Mount> KernelMounts(const cri::ContainerConfig& config, const Pod& pod, const MountOptions& options) {
  const bool privileged = config.linux().security_context().privileged();
  return {
      {"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}, {}, {}},
      {"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}, {}, {}},
      {"/dev/pts", "devpts", "devpts", TerminalOptions(pod), {}, {}},
      {"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}, {}, {}},
      SysMount(pod, privileged ? "rw" : "ro", options.recursive_read_only),
      CgroupMount(privileged, options.cgroup_v2, options.systemd),
  };
}

std::vector<oci::Mount> PodMounts(const cri::ContainerConfig& config, const Pod& pod) {
  const std::string etc = config.linux().security_context().readonly_rootfs() ? "ro" : "rw";
  std::vector<oci::Mount> out = {
      // Said again: crun's bind has the options that it is given, not those of the source.
      Bind("/dev/shm", pod.shm, {"rw", "rbind", "nosuid", "nodev", "noexec"}),
      Bind("/etc/resolv.conf", pod.resolv_conf, {"rbind", etc}),
      Bind("/etc/hostname", pod.hostname_file, {"rbind", etc}),
  };
  if (!pod.hosts.empty()) out.push_back(Bind("/etc/hosts", pod.hosts, {"rbind", etc}));
  return out;
}

std::vector<oci::Mount> SystemdMounts() {
  std::vector<oci::Mount> out;
  for (const char* path : {"/run", "/run/lock", "/tmp", "/var/log/journal"})
    out.push_back({path, "tmpfs", "tmpfs", {"rw", "rprivate", "noexec", "nosuid", "nodev", "tmpcopyup"}, {}, {}});
  return out;
}

bool IsBelow(const std::string& path, const std::string& folder) {
  if (folder == "/") return path.size() > 1;
  return path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/';
}

// "/a//b/../c/" -> "/a/c", as destinations are compared.
std::string Clean(const std::string& path) {
  std::string out = std::filesystem::path(path).lexically_normal().native();
  if (out.size() > 1 && out.back() == '/') out.pop_back();
  return out;
}

base::Status Propagate(const cri::Mount& mount, const base::Path& source, const std::vector<kernel::MountPoint>& mounts,
                       oci::Mount& out, MountPlan& plan) {
  const kernel::MountPoint* holder = kernel::MountOf(mounts, source);
  const bool shared = holder != nullptr && holder->shared != 0;
  const bool slave = holder != nullptr && holder->master != 0;
  switch (mount.propagation()) {
    case cri::PROPAGATION_HOST_TO_CONTAINER:
      if (!shared && !slave) {
        return Fail(Code::kInvalidArgument, "path ", source.native(), " is mounted on ",
                    holder != nullptr ? holder->target.native() : "/", " but it is not a shared or slave mount");
      }
      out.options.emplace_back("rslave");
      if (plan.rootfs_propagation.empty()) plan.rootfs_propagation = "rslave";
      return {};
    case cri::PROPAGATION_BIDIRECTIONAL:
      if (!shared) {
        return Fail(Code::kInvalidArgument, "path ", source.native(), " is mounted on ",
                    holder != nullptr ? holder->target.native() : "/", " but it is not a shared mount");
      }
      out.options.emplace_back("rshared");
      plan.rootfs_propagation = "rshared";
      return {};
    default:
      out.options.emplace_back("rprivate");
      return {};
  }
}

base::Status CheckPath(const cri::Mount& mount) {
  if (mount.container_path().empty()) return Fail(Code::kInvalidArgument, "container_path is missing");
  if (mount.container_path().front() != '/') return Fail(Code::kInvalidArgument, "container_path is not absolute");
  if (Clean(mount.container_path()) == "/") return Fail(Code::kInvalidArgument, "container_path cannot be the root");
  return {};
}

base::Status CheckRequest(const cri::Mount& mount, const MountOptions& options) {
  RETURN_IF_ERROR(CheckPath(mount));
  if (!mount.image_sub_path().empty()) return Fail(Code::kInvalidArgument, "image_sub_path needs an image");
  if (mount.host_path().empty()) return Fail(Code::kInvalidArgument, "host_path is missing");
  if (mount.host_path().front() != '/') return Fail(Code::kInvalidArgument, "host_path is not absolute");
  if (mount.recursive_read_only()) {
    if (!mount.readonly()) return Fail(Code::kInvalidArgument, "recursive_read_only needs readonly");
    if (mount.propagation() != cri::PROPAGATION_PRIVATE) {
      return Fail(Code::kInvalidArgument, "recursive_read_only needs private propagation");
    }
    if (!options.recursive_read_only) {
      return Fail(Code::kInvalidArgument,
                  "RROUnsupported: the runtime handler or the kernel has no recursive read-only mounts");
    }
  }
  return {};
}

base::Status AddOptions(const cri::Mount& mount, oci::Mount& out) {
  for (const std::string& option : mount.mount_options()) {
    if (option != "noexec" && option != "nodev" && option != "nosuid") {
      return Fail(Code::kInvalidArgument, "mount_options: \"", option, "\" is not one of noexec, nodev, nosuid");
    }
    out.options.push_back(option);
  }
  return {};
}

base::Result<oci::Mount> MapImage(const cri::Mount& mount, const base::Path& source) {
  RETURN_IF_ERROR(CheckPath(mount));
  oci::Mount out = Bind(Clean(mount.container_path()), source, {"bind", "rprivate", "ro"});
  RETURN_IF_ERROR(AddOptions(mount, out));
  return out;
}

base::Result<oci::Mount> MapOne(const cri::Mount& mount, const MountOptions& options, const base::Path& bound,
                                kernel::ForeignPaths& paths, const base::Context& context, MountPlan& plan) {
  RETURN_IF_ERROR(CheckRequest(mount, options));
  ASSIGN_OR_RETURN(const kernel::ForeignPath source, paths.EnsureFolder(mount.host_path(), 0755, context));
  oci::Mount out = Bind(Clean(mount.container_path()), bound.empty() ? source.resolved : bound, {"rbind"});
  if (mount.propagation() == cri::PROPAGATION_PRIVATE) {
    const bool holds_ours =
        std::any_of(options.own_roots.begin(), options.own_roots.end(), [&](const base::Path& root) {
          return root == source.resolved || IsBelow(root.native(), source.resolved.native());
        });
    out.options.emplace_back(holds_ours && !mount.recursive_read_only() ? "rslave" : "rprivate");
  } else {
    ASSIGN_OR_RETURN(const std::vector<kernel::MountPoint> mounts, kernel::Mounts());
    RETURN_IF_ERROR(Propagate(mount, source.resolved, mounts, out, plan));
  }
  out.options.emplace_back(mount.recursive_read_only() ? "rro" : mount.readonly() ? "ro" : "rw");
  RETURN_IF_ERROR(AddOptions(mount, out));
  return out;
}

}  // namespace

bool IsCovered(const cri::ContainerConfig& config, const std::string& path) {
  const std::string wanted = Clean(path);
  return std::any_of(config.mounts().begin(), config.mounts().end(), [&](const cri::Mount& mount) {
    const std::string covers = Clean(mount.container_path());
    return wanted == covers || IsBelow(wanted, covers);
  });
}

base::Result<MountPlan> MapMounts(const cri::ContainerConfig& config, const Pod& pod, const MountOptions& options,
                                  kernel::ForeignPaths& paths, const base::Context& context) {
  MountPlan plan;
  std::vector<oci::Mount> requested;
  for (size_t i = 0; i < static_cast<size_t>(config.mounts_size()); ++i) {
    const cri::Mount& mount = config.mounts(static_cast<int>(i));
    const bool image = i < options.image_volumes.size() && !options.image_volumes[i].empty();
    const base::Path bound = i < options.bound.size() ? options.bound[i] : base::Path();
    ASSIGN_OR_RETURN(
        oci::Mount one,
        image ? MapImage(mount, options.image_volumes[i]) : MapOne(mount, options, bound, paths, context, plan),
        "mount ", mount.container_path());
    requested.push_back(std::move(one));
  }
  const auto replaced = [&](const oci::Mount& standard) {
    return std::any_of(requested.begin(), requested.end(), [&](const oci::Mount& mount) {
      const bool covers = mount.destination == "/dev" || mount.destination == "/sys";
      return mount.destination == standard.destination || (covers && IsBelow(standard.destination, mount.destination));
    });
  };
  std::vector<oci::Mount> binds;
  for (oci::Mount& mount : KernelMounts(config, pod, options)) {
    if (!replaced(mount)) plan.mounts.push_back(std::move(mount));
  }
  if (options.systemd) {
    for (oci::Mount& mount : SystemdMounts()) {
      if (!replaced(mount)) binds.push_back(std::move(mount));
    }
  }
  for (oci::Mount& mount : PodMounts(config, pod)) {
    if (!replaced(mount)) binds.push_back(std::move(mount));
  }
  std::move(requested.begin(), requested.end(), std::back_inserter(binds));
  // A mount on /etc comes before the pod's /etc/resolv.conf and must not hide it.
  const auto depth = [](const oci::Mount& mount) {
    return std::count(mount.destination.begin(), mount.destination.end(), '/');
  };
  std::stable_sort(binds.begin(), binds.end(), [&](const auto& a, const auto& b) { return depth(a) < depth(b); });
  std::move(binds.begin(), binds.end(), std::back_inserter(plan.mounts));
  return plan;
}

}  // namespace berth::container
