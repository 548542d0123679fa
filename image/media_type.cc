#include "image/media_type.h"

#include <algorithm>
#include <array>

#include "base/strings.h"

namespace berth::image {
namespace {

constexpr std::string_view kEncryptedSuffix = "+encrypted";
constexpr std::array<std::string_view, 8> kLayers = {
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.docker.container.image.rootfs.diff+x-gtar",
    "application/vnd.docker.image.rootfs.diff.tar+gzip",
};
constexpr std::array<std::string_view, 5> kForeignLayers = {
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
};

}  // namespace

std::string Essence(std::string_view content_type) {
  return base::Lower(base::Trim(content_type.substr(0, content_type.find(';'))));
}

DocumentKind KindOf(std::string_view media_type) {
  const std::string essence = Essence(media_type);
  if (essence == kOciIndex || essence == kDockerList) return DocumentKind::kIndex;
  if (essence == kOciManifest || essence == kDockerManifest) return DocumentKind::kManifest;
  if (essence.starts_with("application/vnd.docker.distribution.manifest.v1+")) return DocumentKind::kSchema1;
  return DocumentKind::kUnknown;
}

bool IsImageConfig(std::string_view media_type) {
  return media_type == kOciConfig || media_type == kDockerConfig;
}

bool IsForeignLayer(std::string_view media_type) {
  return std::ranges::find(kForeignLayers, media_type) != kForeignLayers.end();
}

bool IsLayer(std::string_view media_type) {
  return std::ranges::find(kLayers, media_type) != kLayers.end() || IsForeignLayer(media_type);
}

bool IsEncrypted(std::string_view media_type) {
  return media_type.ends_with(kEncryptedSuffix);
}

std::string_view ManifestAccept() {
  return "application/vnd.docker.distribution.manifest.v2+json, "
         "application/vnd.docker.distribution.manifest.list.v2+json, "
         "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*";
}

}  // namespace berth::image
