#include <limits>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "cri-proto/api.pb.h"
#include "cri-proto/cri.h"
#include "json/json.h"
#include "sandbox/sandbox.h"

namespace berth::sandbox {
namespace {
constexpr int64_t kVersion = 1;
constexpr std::string_view kWhat = "sandbox record";
}  // namespace

std::string Encode(const Sandbox& sandbox) {
  const nlohmann::json record{
      {"version", kVersion},
      {"id", sandbox.id},
      {"config", base::Base64Encode(sandbox.config->SerializeAsString())},
      {"request_digest", sandbox.request_digest},
      {"runtime_handler", sandbox.runtime_handler},
      {"runtime", sandbox.runtime},
      {"cgroup_parent", sandbox.cgroup_parent},
      {"hostname", sandbox.hostname},
      {"net_namespace", sandbox.net_namespace.native()},
      {"ipc_namespace", sandbox.ipc_namespace.native()},
      {"uts_namespace", sandbox.uts_namespace.native()},
      {"selinux_label", sandbox.selinux_label},
      {"user_namespace", sandbox.user_namespace.native()},
      {"pid_namespace", sandbox.pid_namespace.native()},
      {"pause", {{"pid", sandbox.pause.pid}, {"start_time", sandbox.pause.start_time}}},
      {"boot_id", sandbox.boot_id},
      {"created_at", sandbox.created_at},
      {"state", StateName(sandbox.state)},
      {"ips", sandbox.ips},
      {"cni_result", sandbox.cni_result},
  };
  return json::Dump(record);
}

base::Result<Sandbox> Decode(std::string_view text) {
  ASSIGN_OR_RETURN(const nlohmann::json record, json::Parse(text, kWhat));
  json::Reader reader(record, kWhat);
  if (reader.Number("version") != kVersion) return base::Fail(base::Code::kInvalidArgument, kWhat, ": unknown version");
  Sandbox out;
  out.id = reader.Text("id");
  const std::string config_text = reader.Text("config");
  out.request_digest = reader.Text("request_digest");
  out.runtime_handler = reader.Text("runtime_handler");
  out.runtime = reader.Text("runtime");
  out.cgroup_parent = reader.Text("cgroup_parent");
  out.hostname = reader.Text("hostname");
  out.net_namespace = reader.Text("net_namespace");
  out.ipc_namespace = reader.Text("ipc_namespace");
  out.uts_namespace = reader.Text("uts_namespace");
  out.selinux_label = reader.Text("selinux_label");
  out.user_namespace = reader.Text("user_namespace");
  out.pid_namespace = reader.Text("pid_namespace");
  json::Reader pause(reader.Member("pause"), kWhat);
  const int64_t pid = pause.Number("pid");
  const int64_t start_time = pause.Number("start_time");
  out.boot_id = reader.Text("boot_id");
  out.created_at = reader.Number("created_at");
  const std::string state = reader.Text("state");
  out.ips = reader.Texts("ips");
  out.cni_result = reader.Text("cni_result");
  RETURN_IF_ERROR(reader.status());
  RETURN_IF_ERROR(pause.status());
  // Signals are sent to it: a negative one would be a group, or everybody.
  if (pid < 0 || pid > std::numeric_limits<pid_t>::max() || start_time < 0) {
    return base::Fail(base::Code::kInvalidArgument, kWhat, ": pid ", pid, " is none");
  }
  out.pause = {.pid = static_cast<pid_t>(pid), .start_time = static_cast<uint64_t>(start_time)};

  if (state == StateName(State::kReady))
    out.state = State::kReady;
  else if (state == StateName(State::kNotReady))
    out.state = State::kNotReady;
  else
    return base::Fail(base::Code::kInvalidArgument, kWhat, ": unknown state \"", state, "\"");
  const auto bytes = base::Base64Decode(config_text);
  auto config = std::make_shared<cri::PodSandboxConfig>();
  if (!bytes || !config->ParseFromString(*bytes))
    return base::Fail(base::Code::kInvalidArgument, kWhat, ": config is damaged");
  out.config = std::move(config);
  // It becomes the name of a folder.
  if (out.id.empty() || out.id.front() == '.' || out.id.find('/') != std::string::npos) {
    return base::Fail(base::Code::kInvalidArgument, kWhat, ": id \"", out.id, "\" is none");
  }
  return out;
}

}  // namespace berth::sandbox
