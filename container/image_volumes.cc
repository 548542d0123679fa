#include "container/image_volumes.h"

#include <fcntl.h>

#include <algorithm>
#include <filesystem>

#include "base/strings.h"
#include "container/user_namespace.h"
#include "cri-proto/api.pb.h"
#include "kernel/mount.h"

namespace berth::container {
namespace {

using base::Code;
using base::Fail;
using base::Path;

std::string UserOf(const std::string& user, int index) {
  return base::Cat(user, "/volume/", index);
}
bool IsImageVolume(const cri::Mount& mount) {
  return mount.has_image() && !mount.image().image().empty();
}

base::Status Check(const cri::Mount& mount) {
  if (!mount.host_path().empty()) return Fail(Code::kInvalidArgument, "host_path and image exclude each other");
  if (!mount.readonly()) return Fail(Code::kInvalidArgument, "an image can only be mounted read-only");
  if (mount.propagation() != cri::PROPAGATION_PRIVATE)
    return Fail(Code::kInvalidArgument, "an image can only be mounted privately");
  const Path sub = mount.image_sub_path();
  const bool climbs = std::ranges::find(sub, Path("..")) != sub.end();
  if (sub.is_absolute() || climbs)
    return Fail(Code::kInvalidArgument, "image_sub_path \"", sub.native(),
                "\" is not a relative path inside the image");
  return {};
}

// The folder `sub` of what is mounted at `root`, free of links. Nobody else writes there, so that a path is enough
// afterwards.
base::Result<Path> SubFolder(const Path& root, const std::string& sub) {
  if (sub.empty()) return root;
  ASSIGN_OR_RETURN(const base::UniqueFd at, base::Open(root, O_PATH | O_DIRECTORY));
  auto folder = base::OpenInRoot(at.get(), sub, O_PATH | O_DIRECTORY);
  if (!folder && folder.error().err == ENOENT)
    return Fail(Code::kNotFound, "image_sub_path \"", sub, "\" is not in the image");
  if (!folder && folder.error().err == ENOTDIR)
    return Fail(Code::kInvalidArgument, "image_sub_path \"", sub, "\" is not a folder");
  if (!folder) return tl::make_unexpected(base::Wrap(std::move(folder).error(), "image_sub_path"));
  std::error_code error;
  Path real = std::filesystem::read_symlink(base::Cat("/proc/self/fd/", folder->get()), error);
  if (error) return Fail(Code::kInternal, "image_sub_path \"", sub, "\": ", error.message());
  return real;
}

base::Result<Path> MountOne(const cri::Mount& mount, const image::Image& image, image::Store& images, const Pod& pod,
                            const std::string& label, const std::string& user, const Path& target,
                            state::Ledger& ledger, const base::Context& context) {
  RETURN_IF_ERROR(base::MakeDirs(target, 0711));
  ASSIGN_OR_RETURN(const auto lower, LowerFolders(images, image, pod, user, context));
  RETURN_IF_ERROR(ledger.Intend({.kind = "mount", .target = target.native()}));
  RETURN_IF_ERROR(kernel::MountOverlay({.lower = lower,
                                        .upper = {},
                                        .work = {},
                                        .target = target,
                                        .empty = images.empty_folder(),
                                        .label = label,
                                        .options = {},
                                        .read_only = true}));
  return SubFolder(target, mount.image_sub_path());
}

}  // namespace

base::Result<ImageVolumes> MountImageVolumes(const cri::ContainerConfig& config, image::Store& images, const Pod& pod,
                                             const std::string& label, const std::string& user, const Path& folder,
                                             state::Ledger& ledger, const base::Context& context) {
  constexpr std::string_view kPrefix = "ImageVolumeMountFailed";
  ImageVolumes out;
  out.sources.resize(static_cast<size_t>(config.mounts_size()));
  for (int i = 0; i < config.mounts_size(); ++i) {
    const cri::Mount& mount = config.mounts(i);
    if (!IsImageVolume(mount)) continue;
    RETURN_IF_ERROR(Check(mount), kPrefix, ": mount ", mount.container_path());
    ASSIGN_OR_RETURN(const image::ImagePtr image, images.RefImage(mount.image().image(), UserOf(user, i)), kPrefix,
                     ": mount ", mount.container_path());
    out.image_ids.push_back(image->id);
    out.chain_ids.insert(out.chain_ids.end(), image->chain_ids.begin(), image->chain_ids.end());
    ASSIGN_OR_RETURN(out.sources[static_cast<size_t>(i)],
                     MountOne(mount, *image, images, pod, label, user, folder / std::to_string(i), ledger, context),
                     kPrefix, ": mount ", mount.container_path());
  }
  return out;
}

void ReleaseVolumeImages(const cri::ContainerConfig& config, image::Store& images, const std::string& user) {
  for (int i = 0; i < config.mounts_size(); ++i) {
    if (IsImageVolume(config.mounts(i))) images.Unref(UserOf(user, i));
  }
}

}  // namespace berth::container
