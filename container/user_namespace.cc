#include "container/user_namespace.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/strings.h"
#include "cri-proto/api.pb.h"
#include "image/rootfs.h"
#include "oci/spec.h"

namespace berth::container {
namespace {

using base::Code;
using base::Fail;
using base::Path;
using Kind = kernel::ForeignPath::Kind;

using Mappings = google::protobuf::RepeatedPtrField<cri::IDMapping>;

bool IsRange(const Mappings& mappings, kernel::IdRange range) {
  return mappings.size() == 1 && mappings[0].container_id() == 0 && mappings[0].host_id() == range.host &&
         mappings[0].length() == range.size;
}

bool AsksForMapping(const cri::Mount& mount) {
  return mount.uidmappings_size() > 0 || mount.gidmappings_size() > 0;
}

base::Result<Path> BindOne(const cri::Mount& mount, const UserNamespace& user, const Path& target,
                           state::Ledger& ledger, kernel::ForeignPaths& paths, const base::Context& context) {
  const bool mapped = AsksForMapping(mount);
  if (mapped && (!IsRange(mount.uidmappings(), user.map.uids) || !IsRange(mount.gidmappings(), user.map.gids))) {
    return Fail(Code::kInvalidArgument, "uidMappings and gidMappings must be those of the pod's user namespace");
  }
  ASSIGN_OR_RETURN(const kernel::ForeignPath source, paths.EnsureFolder(mount.host_path(), 0755, context));
  RETURN_IF_ERROR(ledger.Intend({.kind = "mount", .target = target.native()}));
  RETURN_IF_ERROR(source.kind == Kind::kFolder ? base::MakeDirs(target, 0700) : base::WriteFile(target, ""));
  base::Status bound = paths.Bind(source.resolved, target, mapped ? user.path : Path(), context);
  if (!bound && mapped && bound.error().err == EINVAL) {
    return Fail(Code::kFailedPrecondition,
                "uidMappings: the kernel cannot map the owners of the file system that holds ", mount.host_path());
  }
  RETURN_IF_ERROR(std::move(bound));
  return target;
}

// Where the host has the device at `path`; empty for one that the request does not name. Later ones win, as with the
// devices.
Path HostPathOf(const cri::ContainerConfig& config, const Path& path) {
  Path out;
  for (const cri::Device& device : config.devices()) {
    const Path target =
        Path(device.container_path().empty() ? device.host_path() : device.container_path()).lexically_normal();
    const Path below = path.lexically_relative(target);
    if (below == ".")
      out = device.host_path();
    else if (!below.empty() && *below.begin() != "..")
      out = device.host_path() / below;
  }
  return out.lexically_normal();
}

bool UsesCopies(const Pod& pod) {
  return pod.user_namespace && pod.user_namespace->images.empty();
}

}  // namespace

base::Result<std::vector<Path>> LowerFolders(image::Store& images, const image::Image& image, const Pod& pod,
                                             const std::string& container, const base::Context& context) {
  if (UsesCopies(pod)) return image::ShiftedLowerDirs(images, image, pod.user_namespace->map, container, context);
  return image::LowerDirs(images, image, pod.user_namespace ? pod.user_namespace->images : Path());
}

std::string CopiedOwners(const Pod& pod) {
  return UsesCopies(pod) ? image::OwnersText(pod.user_namespace->map) : std::string();
}

base::Status LetThrough(const Path& folder) {
  if (chmod(folder.c_str(), 0711) != 0) return base::FailErrno(errno, "chmod ", folder.native());
  return {};
}

base::Status MakeOwnedFolders(int rootfs, const Path& path, const Pod& pod) {
  if (!pod.user_namespace) {
    RETURN_IF_ERROR(base::MakeDirsInRoot(rootfs, path, 0755));
    return {};
  }
  Path done = "/";
  for (const Path& part : path.lexically_normal().relative_path()) {
    done /= part;
    const auto there = base::OpenInRoot(rootfs, done, O_PATH);
    if (there || there.error().err != ENOENT) continue;
    ASSIGN_OR_RETURN(const base::UniqueFd made, base::MakeDirsInRoot(rootfs, done, 0755));
    const kernel::UserMap& map = pod.user_namespace->map;
    if (fchownat(made.get(), "", map.uids.host, map.gids.host, AT_EMPTY_PATH) != 0)
      return base::FailErrno(errno, "chown ", done.native());
  }
  // What is there must be a folder.
  RETURN_IF_ERROR(base::MakeDirsInRoot(rootfs, path, 0755));
  return {};
}

base::Result<std::vector<Path>> BindSources(const cri::ContainerConfig& config, const Pod& pod, const Path& folder,
                                            state::Ledger& ledger, kernel::ForeignPaths& paths,
                                            const base::Context& context) {
  std::vector<Path> out(static_cast<size_t>(config.mounts_size()));
  for (size_t i = 0; i < out.size(); ++i) {
    const cri::Mount& mount = config.mounts(static_cast<int>(i));
    const std::string what = base::Cat("mount ", mount.container_path());
    if (!pod.user_namespace && AsksForMapping(mount)) {
      return Fail(Code::kInvalidArgument, what, ": uidMappings and gidMappings need a pod with a user namespace");
    }
    // One without a host path is an image, or refused when the mount is looked at.
    if (!pod.user_namespace || !mount.host_path().starts_with('/')) continue;
    RETURN_IF_ERROR(base::MakeDirs(folder, 0711));
    ASSIGN_OR_RETURN(out[i], BindOne(mount, *pod.user_namespace, folder / std::to_string(i), ledger, paths, context),
                     what);
  }
  return out;
}

void BindRenamedDevices(const cri::ContainerConfig& config, oci::Spec& spec) {
  std::erase_if(spec.devices, [&](const oci::Device& device) {
    const Path host = HostPathOf(config, device.path);
    if (host.empty() || host == device.path) return false;
    spec.mounts.push_back({.destination = device.path,
                           .type = "bind",
                           .source = host.native(),
                           .options = {"bind", "rprivate", "nosuid", "noexec"},
                           .uid_mappings = {},
                           .gid_mappings = {}});
    return true;
  });
}

}  // namespace berth::container
