#include "network/attachment_cache.h"

#include <cerrno>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "json/json.h"
#include "network/result.h"

namespace berth::network {
namespace {

using Json = nlohmann::json;
using base::Cat;

constexpr std::string_view kKind = "cniCacheV1";
constexpr std::string_view kWhat = "CNI cache";
constexpr size_t kFileLimit = 8 << 20;

// "A=1;B=2" as [["A","1"],["B","2"]], libcni's form.
Json ArgsToJson(std::string_view args) {
  Json out = Json::array();
  for (const std::string_view part : base::Split(args, ';')) {
    const size_t equals = part.find('=');
    if (equals != std::string_view::npos) out.push_back(Json::array({part.substr(0, equals), part.substr(equals + 1)}));
  }
  return out;
}

base::Result<std::string> ArgsFromJson(const Json& object) {
  ASSIGN_OR_RETURN(const Json* pairs, json::Array(object, "cniArgs", kWhat));
  std::string out;
  if (pairs == nullptr) return out;
  for (const Json& pair : *pairs) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string()) {
      return base::Fail(base::Code::kInvalidArgument, kWhat, ": cniArgs is not a list of pairs");
    }
    out +=
        Cat(out.empty() ? "" : ";", pair[0].get_ref<const std::string&>(), "=", pair[1].get_ref<const std::string&>());
  }
  return out;
}

base::Result<CachedAttachment> ParseV1(const Json& object) {
  CachedAttachment out;
  ASSIGN_OR_RETURN(out.sandbox_id, json::String(object, "containerId", kWhat));
  ASSIGN_OR_RETURN(out.network, json::String(object, "networkName", kWhat));
  ASSIGN_OR_RETURN(out.netns, json::String(object, "netns", kWhat));
  ASSIGN_OR_RETURN(out.args, ArgsFromJson(object));
  ASSIGN_OR_RETURN(const std::string config, json::String(object, "config", kWhat));
  const auto decoded = base::Base64Decode(config);
  if (!decoded) return base::Fail(base::Code::kInvalidArgument, kWhat, ": config is not base64");
  out.config = *decoded;
  ASSIGN_OR_RETURN(const Json* capabilities, json::Object(object, "capabilityArgs", kWhat));
  if (capabilities != nullptr) out.capability_args = json::Dump(*capabilities);
  ASSIGN_OR_RETURN(const Json* result, json::Object(object, "result", kWhat));
  if (result != nullptr) out.result = json::Dump(*result);
  return out;
}

struct Names {
  std::string network;
  std::string sandbox_id;
};
// "<network>-<sandbox id>-eth0". Ids of ours have no '-', names of networks may.
std::optional<Names> ParseName(std::string_view name) {
  const std::string suffix = Cat("-", kInterface);
  if (!name.ends_with(suffix)) return std::nullopt;
  name.remove_suffix(suffix.size());
  const size_t dash = name.rfind('-');
  if (dash == std::string_view::npos || dash == 0 || dash + 1 == name.size()) return std::nullopt;
  return Names{std::string(name.substr(0, dash)), std::string(name.substr(dash + 1))};
}

// A power cut can leave a file torn; then its names are all that is known.
base::Result<CachedAttachment> Load(const base::Path& file, const Names& names) {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(file, kFileLimit));
  CachedAttachment bare{.sandbox_id = names.sandbox_id, .network = names.network};
  const auto object = json::Parse(text, kWhat);
  if (!object || !object->is_object()) return bare;
  if (!object->contains("kind")) {
    bare.result = json::Dump(*object);  // the old format
    return bare;
  }
  auto parsed = ParseV1(*object);
  // The name decides: it is what Find and Remove go by.
  if (!parsed || parsed->sandbox_id != names.sandbox_id || parsed->network != names.network) return bare;
  return parsed;
}

// Those of one sandbox, or all when it is empty.
base::Result<std::vector<CachedAttachment>> LoadAll(const base::Path& folder, std::string_view sandbox_id) {
  auto files = base::ListFolder(folder);
  std::vector<CachedAttachment> out;
  if (!files) {
    if (files.error().err == ENOENT) return out;
    return tl::make_unexpected(std::move(files).error());
  }
  for (const std::string& file : *files) {
    const auto names = ParseName(file);
    if (!names || (!sandbox_id.empty() && names->sandbox_id != sandbox_id)) continue;
    auto loaded = Load(folder / file, *names);
    if (!loaded && loaded.error().err == ENOENT) continue;  // removed while we read
    if (!loaded) return tl::make_unexpected(std::move(loaded).error());
    out.push_back(*std::move(loaded));
  }
  return out;
}

}  // namespace

base::Path AttachmentCache::File(std::string_view network, std::string_view sandbox_id) const {
  return folder_ / Cat(network, "-", sandbox_id, "-", kInterface);
}

bool AttachmentCache::Has(std::string_view sandbox_id, std::string_view network) const {
  return base::Exists(File(network, sandbox_id));
}

base::Status AttachmentCache::Put(const CachedAttachment& attachment, base::Durability durability) const {
  Json object = {{"kind", kKind},
                 {"containerId", attachment.sandbox_id},
                 {"config", base::Base64Encode(attachment.config)},
                 {"ifName", kInterface},
                 {"networkName", attachment.network},
                 {"netns", attachment.netns},
                 {"cniArgs", ArgsToJson(attachment.args)}};
  if (!attachment.capability_args.empty()) {
    ASSIGN_OR_RETURN(object["capabilityArgs"], json::Parse(attachment.capability_args, kWhat));
  }
  if (!attachment.result.empty()) {
    ASSIGN_OR_RETURN(object["result"], json::Parse(attachment.result, kWhat));
  }
  return base::WriteFile(File(attachment.network, attachment.sandbox_id), json::Dump(object), 0600, durability);
}

base::Result<std::vector<CachedAttachment>> AttachmentCache::Find(std::string_view sandbox_id,
                                                                  std::string_view network) const {
  if (network.empty() || !Has(sandbox_id, network)) return LoadAll(folder_, sandbox_id);
  ASSIGN_OR_RETURN(CachedAttachment found,
                   Load(File(network, sandbox_id), {std::string(network), std::string(sandbox_id)}));
  return std::vector<CachedAttachment>{std::move(found)};
}

base::Result<std::vector<CachedAttachment>> AttachmentCache::List() const {
  return LoadAll(folder_, {});
}

base::Status AttachmentCache::RemoveTorn() const {
  constexpr std::string_view kTemporary = ".tmp";  // base::WriteFile's
  const auto files = base::ListFolder(folder_);
  if (!files) return files.error().err == ENOENT ? base::Status() : base::Status(tl::make_unexpected(files.error()));
  base::Status first;
  for (const std::string& file : *files) {
    if (!file.ends_with(kTemporary) || !ParseName(std::string_view(file).substr(0, file.size() - kTemporary.size())))
      continue;
    if (base::Status removed = base::RemoveFile(folder_ / file); !removed && first) first = std::move(removed);
  }
  return first;
}

base::Status AttachmentCache::Remove(const CachedAttachment& attachment) const {
  return base::RemoveFile(File(attachment.network, attachment.sandbox_id));
}

}  // namespace berth::network
