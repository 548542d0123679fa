#include "state/timelines.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "json/json.h"

namespace berth::state {
namespace {

constexpr std::string_view kWhat = "timeline";

base::Result<OperationRecord> RecordOf(std::string_view line) {
  ASSIGN_OR_RETURN(const nlohmann::json value, json::Parse(line, kWhat));
  json::Reader reader(value, kWhat);
  OperationRecord out{.operation = reader.Text("operation"),
                      .object = {},
                      .request = reader.Text("request"),
                      .code = reader.Text("code"),
                      .timeline = {}};
  RETURN_IF_ERROR(reader.status());
  ASSIGN_OR_RETURN(out.timeline, TimelineFromJson(value, kWhat));
  return out;
}

// The later half of the lines: what is tried again and again must not fill the run root.
base::Status Shorten(const base::Path& path) {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path, 2 * Timelines::kMostBytes));
  const size_t cut = text.find('\n', text.size() / 2);
  return base::WriteFile(path, cut == std::string::npos ? "" : text.substr(cut + 1));
}

}  // namespace

nlohmann::json ToJson(const OperationRecord& record) {
  nlohmann::json out = ToJson(record.timeline);
  out["operation"] = record.operation;
  if (!record.request.empty()) out["request"] = record.request;
  if (!record.code.empty()) out["code"] = record.code;
  return out;
}

std::string ToJsonText(const std::vector<OperationRecord>& records) {
  nlohmann::json out = nlohmann::json::array();
  for (const OperationRecord& record : records) out.push_back(ToJson(record));
  return json::Dump(out);
}

base::Status Timelines::Open(const std::function<bool(const std::string&)>& known) const {
  RETURN_IF_ERROR(base::MakeDirs(folder_, 0700));
  ASSIGN_OR_RETURN(const auto names, base::ListFolder(folder_));
  for (const std::string& name : names) {
    if (!known(name)) RETURN_IF_ERROR(base::RemoveFile(folder_ / name));
  }
  return {};
}

void Timelines::Begin(const std::string& id) const {
  (void)base::Open(folder_ / id, O_WRONLY | O_CREAT, 0600);
}

void Timelines::Add(const OperationRecord& record) const {
  if (observer_) observer_(record);
  if (record.object.empty()) return;
  const base::Path path = folder_ / record.object;
  const auto fd = base::Open(path, O_WRONLY | O_APPEND);
  if (!fd) return;
  (void)base::WriteAll(fd->get(), json::Dump(ToJson(record)) + "\n", path.native());
  struct stat info {};
  if (fstat(fd->get(), &info) == 0 && static_cast<size_t>(info.st_size) > kMostBytes) (void)Shorten(path);
}

std::function<void(const TimelineSummary&, const base::Result<std::string>&)> Timelines::Keeper(
    std::string operation, std::string object, std::string request) const {
  return [this, record = OperationRecord{.operation = std::move(operation),
                                         .object = std::move(object),
                                         .request = std::move(request),
                                         .code = {},
                                         .timeline = {}}](const TimelineSummary& timeline,
                                                          const base::Result<std::string>& result) {
    OperationRecord told = record;
    told.timeline = timeline;
    if (!result) told.code = base::CodeName(result.error().code);
    if (result && told.object.empty()) Begin(told.object = *result);
    Add(told);
  };
}

void Timelines::Forget(const std::string& id) const {
  (void)base::RemoveFile(folder_ / id);
}

std::vector<OperationRecord> Timelines::Read(const std::string& id) const {
  std::vector<OperationRecord> out;
  const auto text = base::ReadFile(folder_ / id, 2 * kMostBytes);
  if (!text) return out;
  for (const std::string_view line : base::Split(*text, '\n')) {
    auto record = RecordOf(line);  // the piece behind the last newline is none, nor is a torn line
    if (!record) continue;
    record->object = id;
    out.push_back(*std::move(record));
  }
  return out;
}

Undoers Timed(const Undoers& undoers, Timeline& timeline) {
  Undoers out;
  for (const auto& each : undoers) {
    out[each.first] = [&timeline, undo = each.second, stage = "undo " + each.first](const Entry& entry,
                                                                                    const base::Context& context) {
      timeline.Enter(stage);
      return undo(entry, context);
    };
  }
  return out;
}

}  // namespace berth::state
