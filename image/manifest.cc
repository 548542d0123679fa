#include "image/manifest.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "image/media_type.h"
#include "json/json.h"

namespace berth::image {
namespace {

using base::Code;
using Json = nlohmann::json;
constexpr size_t kMaxUrls = 32;
constexpr std::string_view kManifestName = "manifest";
constexpr std::string_view kConfigName = "image configuration";

base::Result<Platform> ParsePlatform(const Json& object, std::string_view what) {
  Platform platform;
  ASSIGN_OR_RETURN(platform.os, json::String(object, "os", what));
  ASSIGN_OR_RETURN(platform.architecture, json::String(object, "architecture", what));
  ASSIGN_OR_RETURN(platform.variant, json::String(object, "variant", what));
  ASSIGN_OR_RETURN(platform.os_version, json::String(object, "os.version", what));
  ASSIGN_OR_RETURN(platform.os_features, json::Strings(object, "os.features", what));
  return platform;
}

bool IsContentOf(std::string_view data, const Descriptor& descriptor) {
  if (static_cast<int64_t>(data.size()) != descriptor.size) return false;
  Hasher hash(descriptor.digest.algorithm());
  hash.Update(data);
  return hash.Finish() == descriptor.digest;
}

base::Result<Descriptor> ParseDescriptor(const Json& object, std::string_view what) {
  Descriptor out;
  ASSIGN_OR_RETURN(out.media_type, json::String(object, "mediaType", what));
  ASSIGN_OR_RETURN(const std::string digest, json::String(object, "digest", what));
  ASSIGN_OR_RETURN(out.digest, Digest::Parse(digest), what);
  ASSIGN_OR_RETURN(const auto size, json::Int(object, "size", what));
  if (!size || *size < 0) return base::Fail(Code::kInvalidArgument, what, ": ", digest, " has no valid size");
  out.size = *size;
  ASSIGN_OR_RETURN(out.urls, json::Strings(object, "urls", what));
  if (out.urls.size() > kMaxUrls) return base::Fail(Code::kInvalidArgument, what, ": more than ", kMaxUrls, " urls");
  ASSIGN_OR_RETURN(out.annotations, json::StringMap(object, "annotations", what));
  ASSIGN_OR_RETURN(out.artifact_type, json::String(object, "artifactType", what));
  ASSIGN_OR_RETURN(const Json* platform, json::Object(object, "platform", what));
  if (platform != nullptr) {
    ASSIGN_OR_RETURN(out.platform, ParsePlatform(*platform, what));
  }
  ASSIGN_OR_RETURN(const std::string encoded, json::String(object, "data", what));
  if (!encoded.empty()) {
    std::optional<std::string> data = base::Base64Decode(encoded);
    if (data && IsContentOf(*data, out)) out.data = *std::move(data);
  }
  return out;
}

base::Result<std::vector<Descriptor>> ParseDescriptors(const Json& list, size_t limit, std::string_view what) {
  if (list.size() > limit) return base::Fail(Code::kInvalidArgument, what, ": more than ", limit, " entries");
  std::vector<Descriptor> out;
  out.reserve(list.size());
  for (const Json& item : list) {
    ASSIGN_OR_RETURN(Descriptor descriptor, ParseDescriptor(item, what));
    out.push_back(std::move(descriptor));
  }
  return out;
}

base::Status CheckLayer(const Descriptor& layer) {
  if (IsEncrypted(layer.media_type)) {
    return base::Fail(Code::kUnimplemented, "layer ", layer.digest.str(), ": encrypted layers are not supported");
  }
  if (!IsLayer(layer.media_type)) {
    return base::Fail(Code::kInvalidArgument, "layer ", layer.digest.str(), ": \"", layer.media_type.substr(0, 200),
                      "\" is no layer of a container image");
  }
  return {};
}

base::Result<Document> ParseManifest(const Json& object) {
  Manifest out;
  ASSIGN_OR_RETURN(const Json* config, json::Object(object, "config", kManifestName));
  ASSIGN_OR_RETURN(const Json* layers, json::Array(object, "layers", kManifestName));
  if (config == nullptr) return base::Fail(Code::kInvalidArgument, "manifest: no config");
  ASSIGN_OR_RETURN(out.config, ParseDescriptor(*config, "manifest: config"));
  if (out.config.size > static_cast<int64_t>(kMaxConfigBytes)) {
    return base::Fail(Code::kInvalidArgument, "manifest: the config is larger than ", kMaxConfigBytes, " bytes");
  }
  if (layers != nullptr) {
    ASSIGN_OR_RETURN(out.layers, ParseDescriptors(*layers, kMaxLayers, "manifest: layers"));
  }
  // An artifact's blobs may be anything.
  for (const Descriptor& layer : out.layers) {
    if (IsImageConfig(out.config.media_type)) RETURN_IF_ERROR(CheckLayer(layer));
  }
  ASSIGN_OR_RETURN(out.artifact_type, json::String(object, "artifactType", kManifestName));
  ASSIGN_OR_RETURN(out.annotations, json::StringMap(object, "annotations", kManifestName));
  return Document(std::move(out));
}

base::Result<Document> ParseIndex(const Json& list) {
  ASSIGN_OR_RETURN(auto manifests, ParseDescriptors(list, kMaxIndexEntries, "index"));
  return Document(Index{std::move(manifests)});
}

auto SchemaOne() {
  return base::Fail(Code::kUnimplemented,
                    "the registry serves this image as Docker schema 1 only, which is not supported: push it again in "
                    "a newer format");
}

// The kind that a document says it is, and that all of it agrees on.
base::Result<DocumentKind> AgreedKind(std::string_view content_type, std::string_view own_type, bool index,
                                      bool manifest) {
  if (index && manifest) return base::Fail(Code::kInvalidArgument, "document is an index and a manifest at once");
  const DocumentKind served = KindOf(content_type);
  const DocumentKind own = KindOf(own_type);
  if (served == DocumentKind::kSchema1 || own == DocumentKind::kSchema1) return SchemaOne();
  if (served != DocumentKind::kUnknown && !own_type.empty() && Essence(content_type) != own_type) {
    return base::Fail(Code::kInvalidArgument, "document was served as ", Essence(content_type), " but says that it is ",
                      own_type.substr(0, 200));
  }
  const DocumentKind structure = index      ? DocumentKind::kIndex
                                 : manifest ? DocumentKind::kManifest
                                            : DocumentKind::kUnknown;
  if (structure == DocumentKind::kUnknown) {
    return base::Fail(Code::kInvalidArgument, "document is neither an index nor a manifest");
  }
  const DocumentKind said = served != DocumentKind::kUnknown ? served : own;
  if (said != DocumentKind::kUnknown && said != structure) {
    return base::Fail(Code::kInvalidArgument, "document is not of the kind that it is said to be");
  }
  return structure;
}

// Docker once wrote a command as one string.
base::Result<std::vector<std::string>> Command(const Json& object, std::string_view key) {
  const auto found = object.find(std::string(key));
  if (found != object.end() && found->is_string()) return std::vector<std::string>{found->get<std::string>()};
  return json::Strings(object, key, kConfigName);
}

base::Result<std::vector<std::string>> Keys(const Json& object, std::string_view key) {
  ASSIGN_OR_RETURN(const Json* map, json::Object(object, key, kConfigName));
  std::vector<std::string> out;
  if (map == nullptr) return out;
  for (const auto& [name, value] : map->items()) out.push_back(name);
  std::ranges::sort(out);
  return out;
}

base::Status ParseRunConfig(const Json& object, ImageConfig& out) {
  ASSIGN_OR_RETURN(out.user, json::String(object, "User", kConfigName));
  ASSIGN_OR_RETURN(out.env, json::Strings(object, "Env", kConfigName));
  ASSIGN_OR_RETURN(out.entrypoint, Command(object, "Entrypoint"));
  ASSIGN_OR_RETURN(out.cmd, Command(object, "Cmd"));
  ASSIGN_OR_RETURN(out.volumes, Keys(object, "Volumes"));
  ASSIGN_OR_RETURN(out.exposed_ports, Keys(object, "ExposedPorts"));
  ASSIGN_OR_RETURN(out.working_dir, json::String(object, "WorkingDir", kConfigName));
  ASSIGN_OR_RETURN(out.labels, json::StringMap(object, "Labels", kConfigName));
  ASSIGN_OR_RETURN(out.stop_signal, json::String(object, "StopSignal", kConfigName));
  return {};
}

base::Status ParseRootfs(const Json& object, ImageConfig& out) {
  ASSIGN_OR_RETURN(const Json* rootfs, json::Object(object, "rootfs", kConfigName));
  if (rootfs == nullptr) return base::Fail(Code::kInvalidArgument, kConfigName, ": no rootfs");
  ASSIGN_OR_RETURN(const std::string type, json::String(*rootfs, "type", kConfigName));
  if (!type.empty() && type != "layers") {
    return base::Fail(Code::kInvalidArgument, kConfigName, ": rootfs of type \"", type.substr(0, 100), "\"");
  }
  ASSIGN_OR_RETURN(const auto diff_ids, json::Strings(*rootfs, "diff_ids", kConfigName));
  if (diff_ids.size() > kMaxLayers) {
    return base::Fail(Code::kInvalidArgument, kConfigName, ": more than ", kMaxLayers, " layers");
  }
  for (const std::string& text : diff_ids) {
    ASSIGN_OR_RETURN(Digest diff_id, Digest::Parse(text), kConfigName);
    if (diff_id.algorithm() != Digest::Algorithm::kSha256) {
      return base::Fail(Code::kUnimplemented, kConfigName, ": diff id ", text, " is not a sha256");
    }
    out.diff_ids.push_back(std::move(diff_id));
  }
  return {};
}

}  // namespace

int64_t Manifest::LayerBytes() const {
  int64_t sum = 0;
  for (const Descriptor& layer : layers) {
    if (__builtin_add_overflow(sum, layer.size, &sum)) return INT64_MAX;
  }
  return sum;
}

base::Result<Document> ParseDocument(std::string_view body, std::string_view content_type) {
  if (body.size() > kMaxManifestBytes) {
    return base::Fail(Code::kInvalidArgument, "manifest: larger than ", kMaxManifestBytes, " bytes");
  }
  if (KindOf(content_type) == DocumentKind::kSchema1) return SchemaOne();
  ASSIGN_OR_RETURN(const Json object, json::Parse(body, kManifestName));
  ASSIGN_OR_RETURN(const auto version, json::Int(object, "schemaVersion", kManifestName));
  if (version == 1 || object.contains("fsLayers")) return SchemaOne();
  if (version && *version != 2) return base::Fail(Code::kInvalidArgument, "manifest: schema version ", *version);
  ASSIGN_OR_RETURN(const std::string own_type, json::String(object, "mediaType", kManifestName));
  const bool is_manifest = object.contains("config") || object.contains("layers");
  ASSIGN_OR_RETURN(const DocumentKind kind,
                   AgreedKind(content_type, own_type, object.contains("manifests"), is_manifest));
  if (kind == DocumentKind::kManifest) return ParseManifest(object);
  ASSIGN_OR_RETURN(const Json* manifests, json::Array(object, "manifests", "index"));
  if (manifests == nullptr) return Document(Index{});
  return ParseIndex(*manifests);
}

std::string DocumentMediaType(std::string_view body, std::string_view content_type) {
  if (KindOf(content_type) != DocumentKind::kUnknown) return Essence(content_type);
  const auto object = json::Parse(body, kManifestName);
  if (!object) return Essence(content_type);
  const auto own_type = json::String(*object, "mediaType", kManifestName);
  if (own_type && !own_type->empty()) return *own_type;
  return std::string(object->contains("manifests") ? kOciIndex : kOciManifest);
}

base::Result<ImageConfig> ParseImageConfig(std::string_view body) {
  if (body.size() > kMaxConfigBytes) {
    return base::Fail(Code::kInvalidArgument, kConfigName, ": larger than ", kMaxConfigBytes, " bytes");
  }
  ASSIGN_OR_RETURN(const Json object, json::Parse(body, kConfigName));
  ImageConfig out;
  ASSIGN_OR_RETURN(Platform platform, ParsePlatform(object, kConfigName));
  out.platform = Normalize(std::move(platform));
  ASSIGN_OR_RETURN(out.created, json::String(object, "created", kConfigName));
  ASSIGN_OR_RETURN(out.author, json::String(object, "author", kConfigName));
  RETURN_IF_ERROR(ParseRootfs(object, out));
  ASSIGN_OR_RETURN(const Json* config, json::Object(object, "config", kConfigName));
  if (config != nullptr) RETURN_IF_ERROR(ParseRunConfig(*config, out));
  return out;
}

std::vector<Digest> ChainIds(const std::vector<Digest>& diff_ids) {
  std::vector<Digest> out;
  out.reserve(diff_ids.size());
  for (const Digest& diff_id : diff_ids) out.push_back(ChainId(out.empty() ? Digest() : out.back(), diff_id));
  return out;
}

}  // namespace berth::image
