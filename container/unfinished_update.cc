#include "container/unfinished_update.h"

#include <google/protobuf/util/message_differencer.h>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "json/json.h"

namespace berth::container {
namespace {

constexpr std::string_view kWhat = "unfinished update";

}  // namespace

std::string Encode(const UnfinishedUpdate& update) {
  nlohmann::json files = nlohmann::json::array();
  for (const auto& kept : update.kept) files.push_back({{"file", kept.file.native()}, {"old", kept.old}});
  return json::Dump({{"record", base::Base64Encode(update.record.SerializeAsString())}, {"files", std::move(files)}});
}

base::Result<UnfinishedUpdate> DecodeUpdate(std::string_view text) {
  ASSIGN_OR_RETURN(const nlohmann::json object, json::Parse(text, kWhat));
  UnfinishedUpdate out;
  ASSIGN_OR_RETURN(const std::string record, json::String(object, "record", kWhat));
  const auto bytes = base::Base64Decode(record);
  if (!bytes || !out.record.ParseFromString(*bytes))
    return base::Fail(base::Code::kInvalidArgument, kWhat, ": record is damaged");
  ASSIGN_OR_RETURN(const nlohmann::json* files, json::Array(object, "files", kWhat));
  if (files == nullptr) return out;
  for (const nlohmann::json& file : *files) {
    kernel::CgroupChange::Kept kept;
    ASSIGN_OR_RETURN(kept.file, json::String(file, "file", kWhat));
    ASSIGN_OR_RETURN(kept.old, json::String(file, "old", kWhat));
    out.kept.push_back(std::move(kept));
  }
  return out;
}

bool IsDone(const UnfinishedUpdate& update, const cri::LinuxContainerResources& record) {
  return !google::protobuf::util::MessageDifferencer::Equals(update.record, record);
}

}  // namespace berth::container
