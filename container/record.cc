#include <initializer_list>
#include <limits>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "container/container.h"
#include "cri-proto/api.pb.h"
#include "cri-proto/cri.h"
#include "json/json.h"

namespace berth::container {
namespace {

constexpr int64_t kVersion = 1;
constexpr std::string_view kWhat = "container record";

nlohmann::json EncodeProcess(const ProcessRef& process) {
  return {{"pid", process.pid}, {"start_time", process.start_time}};
}

base::Result<ProcessRef> DecodeProcess(const nlohmann::json& object) {
  json::Reader reader(object, kWhat);
  const int64_t pid = reader.Number("pid");
  const int64_t start_time = reader.Number("start_time");
  RETURN_IF_ERROR(reader.status());
  // Signals are sent to it: a negative one would be a group, or everybody.
  if (pid < 0 || pid > std::numeric_limits<pid_t>::max() || start_time < 0) {
    return base::Fail(base::Code::kInvalidArgument, kWhat, ": pid ", pid, " is none");
  }
  return ProcessRef{.pid = static_cast<pid_t>(pid), .start_time = static_cast<uint64_t>(start_time)};
}

base::Result<int64_t> CheckId(int64_t id) {
  if (id < 0 || id > std::numeric_limits<int32_t>::max())
    return base::Fail(base::Code::kInvalidArgument, kWhat, ": user or group ", id, " is none");
  return id;
}

base::Result<State> DecodeState(std::string_view name) {
  for (const State state : {State::kCreated, State::kRunning, State::kExited}) {
    if (name == StateName(state)) return state;
  }
  return base::Fail(base::Code::kInvalidArgument, kWhat, ": unknown state \"", name, "\"");
}

}  // namespace

std::string Encode(const Container& container) {
  const nlohmann::json record{
      {"version", kVersion},
      {"id", container.id},
      {"sandbox_id", container.sandbox_id},
      {"config", base::Base64Encode(container.config->SerializeAsString())},
      {"request_digest", container.request_digest},
      {"image_id", container.image_id},
      {"image_name", container.image_name},
      {"image_ref", container.image_ref},
      {"chain_ids", container.chain_ids},
      {"copied_owners", container.copied_owners},
      {"volume_images", container.volume_images},
      {"runtime", container.runtime},
      {"cgroups_path", container.cgroups_path},
      {"log_path", container.log_path.native()},
      {"stop_signal", container.stop_signal},
      {"uid", container.uid},
      {"gid", container.gid},
      {"groups", container.groups},
      {"own_pid_namespace", container.own_pid_namespace},
      {"restored", container.restored},
      {"created_at", container.created_at},
      {"started_at", container.started_at},
      {"state", StateName(container.state)},
      {"exit",
       {{"code", container.exit.code},
        {"finished_at", container.exit.finished_at},
        {"reason", container.exit.reason},
        {"message", container.exit.message}}},
      {"boot_id", container.boot_id},
      {"process", EncodeProcess(container.process)},
      {"monitor", EncodeProcess(container.monitor)},
  };
  return json::Dump(record);
}

base::Result<Container> Decode(std::string_view text) {
  ASSIGN_OR_RETURN(const nlohmann::json record, json::Parse(text, kWhat));
  json::Reader reader(record, kWhat);
  if (reader.Number("version") != kVersion) return base::Fail(base::Code::kInvalidArgument, kWhat, ": unknown version");
  Container out;
  out.id = reader.Text("id");
  out.sandbox_id = reader.Text("sandbox_id");
  const std::string config_text = reader.Text("config");
  out.request_digest = reader.Text("request_digest");
  out.image_id = reader.Text("image_id");
  out.image_name = reader.Text("image_name");
  out.image_ref = reader.Text("image_ref");
  out.chain_ids = reader.Texts("chain_ids");
  out.copied_owners = reader.Text("copied_owners");
  out.volume_images = reader.Texts("volume_images");
  out.runtime = reader.Text("runtime");
  out.cgroups_path = reader.Text("cgroups_path");
  out.log_path = reader.Text("log_path");
  const int64_t stop_signal = reader.Number("stop_signal");
  ASSIGN_OR_RETURN(out.uid, CheckId(reader.Number("uid")));
  ASSIGN_OR_RETURN(out.gid, CheckId(reader.Number("gid")));
  out.own_pid_namespace = reader.Flag("own_pid_namespace");
  out.restored = reader.Flag("restored");
  out.created_at = reader.Number("created_at");
  out.started_at = reader.Number("started_at");
  const std::string state = reader.Text("state");
  json::Reader exit(reader.Member("exit"), kWhat);
  out.exit = {.code = static_cast<int32_t>(exit.Number("code")),
              .finished_at = exit.Number("finished_at"),
              .reason = exit.Text("reason"),
              .message = exit.Text("message")};
  out.boot_id = reader.Text("boot_id");
  ASSIGN_OR_RETURN(out.process, DecodeProcess(reader.Member("process")));
  ASSIGN_OR_RETURN(out.monitor, DecodeProcess(reader.Member("monitor")));
  RETURN_IF_ERROR(reader.status());
  RETURN_IF_ERROR(exit.status());
  if (stop_signal < 1 || stop_signal > 64)
    return base::Fail(base::Code::kInvalidArgument, kWhat, ": stop_signal ", stop_signal, " is none");
  out.stop_signal = static_cast<int>(stop_signal);
  ASSIGN_OR_RETURN(out.state, DecodeState(state));

  ASSIGN_OR_RETURN(const nlohmann::json* groups, json::Array(record, "groups", kWhat));
  if (groups != nullptr) {
    for (const nlohmann::json& group : *groups) {
      if (!group.is_number_integer())
        return base::Fail(base::Code::kInvalidArgument, kWhat, ": groups is not a list of numbers");
      ASSIGN_OR_RETURN(const int64_t id, CheckId(group.get<int64_t>()));
      out.groups.push_back(id);
    }
  }
  const auto bytes = base::Base64Decode(config_text);
  auto config = std::make_shared<cri::ContainerConfig>();
  if (!bytes || !config->ParseFromString(*bytes))
    return base::Fail(base::Code::kInvalidArgument, kWhat, ": config is damaged");
  out.config = std::move(config);
  // They become names of folders.
  for (const std::string& id : {out.id, out.sandbox_id}) {
    if (id.empty() || id.front() == '.' || id.find('/') != std::string::npos) {
      return base::Fail(base::Code::kInvalidArgument, kWhat, ": id \"", id, "\" is none");
    }
  }
  return out;
}

base::Result<Container> WithState(const Container& container, State state) {
  if (!CanChange(container.state, state)) {
    return base::Fail(base::Code::kFailedPrecondition, "container ", container.id, " is ", StateName(container.state));
  }
  Container changed = container;
  changed.state = state;
  return changed;
}

}  // namespace berth::container
