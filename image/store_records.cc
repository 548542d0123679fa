#include "image/store_records.h"

#include <algorithm>
#include <charconv>

#include <nlohmann/json.hpp>

#include "json/json.h"
#include "state/checksum.h"

namespace berth::image {

using base::Code;
using base::Fail;
using base::Result;
using base::Status;
using nlohmann::json;

namespace {

constexpr int64_t kVersion = 1;

std::string Seal(json body) {
  const std::string checksum = state::ChecksumText(berth::json::Dump(body));
  return berth::json::Dump(json{{"version", kVersion}, {"checksum", checksum}, {"body", std::move(body)}}) + "\n";
}

// The checksum is over the body as we write it, so another order or spacing of the same content is accepted too.
Result<json> Unseal(std::string_view text, std::string_view what) {
  ASSIGN_OR_RETURN(json document, berth::json::Parse(text, what));
  ASSIGN_OR_RETURN(const auto version, berth::json::Int(document, "version", what));
  if (version != kVersion) return Fail(Code::kInternal, what, ": unknown version");
  ASSIGN_OR_RETURN(const std::string checksum, berth::json::String(document, "checksum", what));
  ASSIGN_OR_RETURN(const json* body, berth::json::Object(document, "body", what));
  if (body == nullptr || checksum != state::ChecksumText(berth::json::Dump(*body))) {
    return Fail(Code::kInternal, what, ": wrong checksum");
  }
  return *body;
}

Result<uint64_t> Number(const json& object, std::string_view key, std::string_view what) {
  ASSIGN_OR_RETURN(const auto value, berth::json::Int(object, key, what));
  if (!value || *value < 0) return Fail(Code::kInternal, what, ": bad ", key);
  return static_cast<uint64_t>(*value);
}

Result<Digest> ReadDigest(const json& object, std::string_view key, std::string_view what) {
  ASSIGN_OR_RETURN(const std::string text, berth::json::String(object, key, what));
  if (text.empty()) return Digest();
  return Digest::Parse(text);
}

}  // namespace

std::string EncodeLayer(const LayerRecord& record) {
  json body{{"chain_id", record.chain_id.str()},
            {"parent", record.parent.str()},
            {"diff_id", record.diff_id.str()},
            {"bytes", record.bytes},
            {"inodes", record.inodes},
            {"exact", record.exact},
            {"sum", record.sum ? std::to_string(*record.sum) : ""}};
  if (record.links) body["links"] = *record.links;
  return Seal(std::move(body));
}

Result<LayerRecord> DecodeLayer(std::string_view text) {
  constexpr std::string_view kWhat = "layer record";
  ASSIGN_OR_RETURN(const json body, Unseal(text, kWhat));
  LayerRecord record;
  ASSIGN_OR_RETURN(record.chain_id, ReadDigest(body, "chain_id", kWhat));
  ASSIGN_OR_RETURN(record.parent, ReadDigest(body, "parent", kWhat));
  ASSIGN_OR_RETURN(record.diff_id, ReadDigest(body, "diff_id", kWhat));
  ASSIGN_OR_RETURN(record.bytes, Number(body, "bytes", kWhat));
  ASSIGN_OR_RETURN(record.inodes, Number(body, "inodes", kWhat));
  if (body.contains("links")) {
    ASSIGN_OR_RETURN(record.links, Number(body, "links", kWhat));
  }
  // Absent in records from before this was noted.
  ASSIGN_OR_RETURN(record.exact, berth::json::Bool(body, "exact", kWhat));
  ASSIGN_OR_RETURN(const std::string sum, berth::json::String(body, "sum", kWhat));
  // As text: the JSON library's numbers are signed where they are read.
  uint64_t value = 0;
  if (std::from_chars(sum.data(), sum.data() + sum.size(), value).ec == std::errc() && !sum.empty()) record.sum = value;
  return record;
}

std::string EncodeImage(const ImageRecord& record) {
  const Image& image = record.image;
  return Seal({{"config", image.config_json},
               {"manifest_digest", image.manifest_digest.str()},
               {"repo_tags", image.repo_tags},
               {"repo_digests", image.repo_digests},
               {"size", image.size},
               {"created", image.created},
               {"reference", image.reference},
               {"sequence", record.sequence}});
}

Result<ImageRecord> DecodeImage(std::string_view text) {
  constexpr std::string_view kWhat = "image record";
  ASSIGN_OR_RETURN(const json body, Unseal(text, kWhat));
  ImageRecord record;
  Image& image = record.image;
  ASSIGN_OR_RETURN(image.config_json, berth::json::String(body, "config", kWhat));
  ASSIGN_OR_RETURN(image.manifest_digest, ReadDigest(body, "manifest_digest", kWhat));
  ASSIGN_OR_RETURN(image.repo_tags, berth::json::Strings(body, "repo_tags", kWhat));
  ASSIGN_OR_RETURN(image.repo_digests, berth::json::Strings(body, "repo_digests", kWhat));
  std::ranges::sort(image.repo_tags);
  std::ranges::sort(image.repo_digests);
  ASSIGN_OR_RETURN(image.size, Number(body, "size", kWhat));
  ASSIGN_OR_RETURN(const auto created, berth::json::Int(body, "created", kWhat));
  image.created = created.value_or(0);
  ASSIGN_OR_RETURN(image.reference, berth::json::String(body, "reference", kWhat));
  ASSIGN_OR_RETURN(record.sequence, Number(body, "sequence", kWhat));
  RETURN_IF_ERROR(DeriveFromConfig(image), kWhat);
  return record;
}

Status DeriveFromConfig(Image& image) {
  ASSIGN_OR_RETURN(image.config, ParseImageConfig(image.config_json));
  image.id = Sha256::Of(image.config_json).str();
  image.chain_ids = ChainIds(image.config.diff_ids);
  return {};
}

}  // namespace berth::image
