// Media types of the documents and layers that registries serve, OCI's and Docker's.
#pragma once

#include <string>
#include <string_view>

namespace berth::image {

inline constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kOciConfig = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kOciLayer = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view kDockerList = "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerConfig = "application/vnd.docker.container.image.v1+json";

enum class DocumentKind {
  kIndex,
  kManifest,
  kSchema1,  // Docker's first format, which cannot be verified by layer; refused
  kUnknown,  // says nothing (application/json, text/plain, absent): look at the document
};

// A Content-Type without parameters and blanks, lower-case.
std::string Essence(std::string_view content_type);

DocumentKind KindOf(std::string_view media_type);
bool IsImageConfig(std::string_view media_type);
// A file system layer: tar, plain or compressed, Docker's or OCI's, foreign ones included.
bool IsLayer(std::string_view media_type);
bool IsForeignLayer(std::string_view media_type);
bool IsEncrypted(std::string_view media_type);

// The Accept header for manifests and indexes.
std::string_view ManifestAccept();

}  // namespace berth::image
