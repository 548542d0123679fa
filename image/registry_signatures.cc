// Finding the signatures of an image (distribution specification, "Listing Referrers"; cosign's tag scheme).
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "image/media_type.h"
#include "image/registry.h"
#include "json/json.h"

namespace berth::image {
namespace {

using base::Code;
using base::Result;
using base::Status;
constexpr size_t kMaxSignatures = 64;
constexpr size_t kMaxPayload = 64 << 10;
constexpr std::string_view kWhat = "signatures";
constexpr std::string_view kSimpleSigning = "application/vnd.dev.cosign.simplesigning.v1+json";
constexpr std::string_view kSignatureArtifact = "application/vnd.dev.cosign.artifact.sig.v1+json";
constexpr const char* kSignatureKey = "dev.cosignproject.cosign/signature";

// A manifest whose layers are signed texts, each with its signature as annotation.
Status ReadManifest(RegistryClient& client, const std::string& body, const base::Context& context,
                    std::vector<ImageSignature>& out) {
  ASSIGN_OR_RETURN(const nlohmann::json manifest, json::Parse(body, kWhat));
  ASSIGN_OR_RETURN(const nlohmann::json* layers, json::Array(manifest, "layers", kWhat));
  if (layers == nullptr) return {};
  for (const nlohmann::json& layer : *layers) {
    ASSIGN_OR_RETURN(const std::string type, json::String(layer, "mediaType", kWhat));
    ASSIGN_OR_RETURN(const auto annotations, json::StringMap(layer, "annotations", kWhat));
    const auto encoded = annotations.find(kSignatureKey);
    if (type != kSimpleSigning || encoded == annotations.end() || out.size() >= kMaxSignatures) continue;
    ASSIGN_OR_RETURN(const std::string digest, json::String(layer, "digest", kWhat));
    ASSIGN_OR_RETURN(const auto size, json::Int(layer, "size", kWhat));
    auto signature = base::Base64Decode(encoded->second);
    if (!signature || !size) continue;
    Descriptor descriptor{.media_type = type, .size = *size};
    ASSIGN_OR_RETURN(descriptor.digest, Digest::Parse(digest), kWhat);
    ASSIGN_OR_RETURN(std::string payload, client.FetchSmall(descriptor, kMaxPayload, context), kWhat);
    out.push_back({std::move(payload), *std::move(signature)});
  }
  return {};
}

Result<std::vector<Digest>> SignaturesAmong(const std::string& body) {
  ASSIGN_OR_RETURN(const nlohmann::json index, json::Parse(body, "referrers"));
  ASSIGN_OR_RETURN(const nlohmann::json* entries, json::Array(index, "manifests", "referrers"));
  std::vector<Digest> out;
  for (size_t i = 0; entries != nullptr && i < entries->size() && out.size() < kMaxSignatures; ++i) {
    ASSIGN_OR_RETURN(const std::string type, json::String((*entries)[i], "artifactType", "referrers"));
    ASSIGN_OR_RETURN(const std::string text, json::String((*entries)[i], "digest", "referrers"));
    const auto digest = Digest::Parse(text);
    if (type == kSignatureArtifact && digest) out.push_back(*digest);
  }
  return out;
}

bool IsAbsent(const base::Error& error) {
  return error.code == Code::kNotFound;
}

}  // namespace

Result<std::vector<ImageSignature>> RegistryClient::FetchSignatures(const Digest& digest,
                                                                    const base::Context& context) {
  std::vector<ImageSignature> out;
  std::string tag(digest.str());
  tag[tag.find(':')] = '-';
  auto tagged = GetNamed(tag + ".sig", {}, context);
  if (tagged) RETURN_IF_ERROR(ReadManifest(*this, tagged->body, context, out));
  if (!tagged && !IsAbsent(tagged.error())) return tl::make_unexpected(std::move(tagged).error());

  // Registries without the call say 404; there clients keep the list under a tag.
  auto list = GetReferrers(digest, context);
  if (!list && IsAbsent(list.error())) {
    auto found = GetNamed(tag, {}, context);
    list = found ? Result<std::string>(std::move(found->body)) : tl::make_unexpected(std::move(found).error());
  }
  if (!list && IsAbsent(list.error())) return out;
  RETURN_IF_ERROR(list);
  ASSIGN_OR_RETURN(const std::vector<Digest> referrers, SignaturesAmong(*list));
  for (const Digest& referrer : referrers) {
    ASSIGN_OR_RETURN(const Resolved manifest, GetNamed(referrer.str(), referrer, context));
    RETURN_IF_ERROR(ReadManifest(*this, manifest.body, context, out));
  }
  return out;
}

}  // namespace berth::image
