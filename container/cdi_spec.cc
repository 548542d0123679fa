// CDI specifications: reading them.
#include <algorithm>
#include <array>
#include <limits>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "container/cdi.h"
#include "container/yaml.h"
#include "cri-proto/api.pb.h"
#include "json/json.h"

namespace berth::container {
namespace {

using base::Cat;
using base::Code;
using base::Fail;
using Json = nlohmann::json;

constexpr size_t kMaxDevices = 10'000;
constexpr size_t kMaxNames = 1'000;

bool Word(std::string_view text, std::string_view more) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text.empty() || !(letter(text.back()) || digit(text.back()))) return false;
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return letter(c) || digit(c) || more.find(c) != std::string_view::npos; });
}
bool Letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool IsKind(std::string_view kind) {
  const size_t slash = kind.find('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == kind.size()) return false;
  return Letter(kind.front()) && Letter(kind[slash + 1]) && Word(kind.substr(0, slash), "_-.") &&
         Word(kind.substr(slash + 1), "_-.");
}
bool IsDevice(std::string_view name) {
  return !name.empty() && name.front() != '-' && Word(name, "_-.:");
}

// Every item of a list of objects.
template <typename Fn>
base::Status EachObject(const Json& object, std::string_view key, const std::string& what, Fn fn) {
  ASSIGN_OR_RETURN(const Json* list, json::Array(object, key, what));
  if (list == nullptr) return {};
  for (const Json& item : *list) {
    if (!item.is_object()) return Fail(Code::kInvalidArgument, what, ": ", key, " holds what is no object");
    RETURN_IF_ERROR(fn(item));
  }
  return {};
}

base::Status OptionalId(const Json& object, const char* key, const std::string& what, std::optional<uint32_t>& out) {
  ASSIGN_OR_RETURN(const auto number, json::Int(object, key, what));
  if (!number) return {};
  if (*number < 0 || *number > std::numeric_limits<uint32_t>::max())
    return Fail(Code::kInvalidArgument, what, ": ", key, " is out of range");
  out = static_cast<uint32_t>(*number);
  return {};
}

base::Status ReadNode(const Json& object, const std::string& what, CdiEdits& out) {
  json::Reader reader(object, what);
  CdiNode node;
  node.path = reader.Text("path");
  node.host_path = reader.Text("hostPath");
  node.type = reader.Text("type");
  node.major = reader.Number("major");
  node.minor = reader.Number("minor");
  node.permissions = reader.Text("permissions");
  RETURN_IF_ERROR(reader.status());
  RETURN_IF_ERROR(OptionalId(object, "fileMode", what, node.file_mode));
  RETURN_IF_ERROR(OptionalId(object, "uid", what, node.uid));
  RETURN_IF_ERROR(OptionalId(object, "gid", what, node.gid));
  if (!node.path.starts_with('/'))
    return Fail(Code::kInvalidArgument, what, ": path \"", node.path, "\" is not absolute");
  constexpr std::array<std::string_view, 5> kTypes = {"", "c", "u", "b", "p"};
  if (std::find(kTypes.begin(), kTypes.end(), node.type) == kTypes.end())
    return Fail(Code::kInvalidArgument, what, ": type \"", node.type, "\" is none of a device");
  if (node.permissions.find_first_not_of("rwm") != std::string::npos)
    return Fail(Code::kInvalidArgument, what, ": permissions \"", node.permissions, "\" are not of r, w and m");
  out.nodes.push_back(std::move(node));
  return {};
}

base::Status ReadMount(const Json& object, const std::string& what, CdiEdits& out) {
  json::Reader reader(object, what);
  oci::Mount mount;
  mount.source = reader.Text("hostPath");
  mount.destination = reader.Text("containerPath");
  mount.type = reader.Text("type");
  mount.options = reader.Texts("options");
  RETURN_IF_ERROR(reader.status());
  if (!mount.destination.starts_with('/') || mount.source.empty())
    return Fail(Code::kInvalidArgument, what, ": a mount needs hostPath and an absolute containerPath");
  if (mount.type.empty()) {
    mount.type = "bind";
    const bool said = std::any_of(mount.options.begin(), mount.options.end(),
                                  [](const std::string& option) { return option == "bind" || option == "rbind"; });
    if (!said) mount.options.insert(mount.options.begin(), "bind");
  }
  out.mounts.push_back(std::move(mount));
  return {};
}

base::Status ReadHook(const Json& object, const std::string& what, CdiEdits& out) {
  json::Reader reader(object, what);
  const std::string stage = reader.Text("hookName");
  oci::Hook hook{.path = reader.Text("path"), .args = reader.Texts("args"), .env = reader.Texts("env"), .timeout = {}};
  const int64_t timeout = reader.Number("timeout");
  RETURN_IF_ERROR(reader.status());
  if (timeout < 0 || timeout > std::numeric_limits<int>::max())
    return Fail(Code::kInvalidArgument, what, ": timeout is out of range");
  if (timeout > 0) hook.timeout = static_cast<int>(timeout);
  if (!hook.path.starts_with('/')) return Fail(Code::kInvalidArgument, what, ": path of a hook is not absolute");
  oci::Hooks stages;
  if (oci::StageOf(stages, stage) == nullptr)
    return Fail(Code::kInvalidArgument, what, ": hookName \"", stage, "\" is unknown");
  out.hooks.emplace_back(stage, std::move(hook));
  return {};
}

base::Result<CdiEdits> ReadEdits(const Json& object, const std::string& what) {
  CdiEdits out;
  ASSIGN_OR_RETURN(const Json* edits, json::Object(object, "containerEdits", what));
  if (edits == nullptr) return out;
  ASSIGN_OR_RETURN(out.env, json::Strings(*edits, "env", what));
  for (const std::string& entry : out.env) {
    if (entry.find('=') == std::string::npos || entry.front() == '=')
      return Fail(Code::kInvalidArgument, what, ": env \"", entry, "\" is not of the form KEY=VALUE");
  }
  RETURN_IF_ERROR(EachObject(*edits, "deviceNodes", what,
                             [&](const Json& node) { return ReadNode(node, Cat(what, ": deviceNodes"), out); }));
  RETURN_IF_ERROR(EachObject(*edits, "mounts", what,
                             [&](const Json& mount) { return ReadMount(mount, Cat(what, ": mounts"), out); }));
  RETURN_IF_ERROR(
      EachObject(*edits, "hooks", what, [&](const Json& hook) { return ReadHook(hook, Cat(what, ": hooks"), out); }));
  ASSIGN_OR_RETURN(const Json* gids, json::Array(*edits, "additionalGids", what));
  if (gids != nullptr) {
    for (const Json& gid : *gids) {
      std::optional<uint32_t> id;
      RETURN_IF_ERROR(OptionalId(Json{{"additionalGids", gid}}, "additionalGids", what, id));
      if (id) out.additional_gids.push_back(*id);
    }
  }
  constexpr std::array<std::string_view, 5> kKnown = {"env", "deviceNodes", "mounts", "hooks", "additionalGids"};
  for (const auto& [key, value] : edits->items()) {
    if (std::find(kKnown.begin(), kKnown.end(), key) == kKnown.end() && !value.is_null()) out.unknown.push_back(key);
  }
  return out;
}

base::Status CheckVersion(const std::string& version, const std::string& path) {
  const auto parts = base::Split(version, '.');
  const auto major = base::ParseInt(parts[0]);
  const auto minor = parts.size() > 1 ? base::ParseInt(parts[1]) : std::nullopt;
  if (parts.size() == 3 && major && minor &&
      ((*major == 0 && *minor >= 3 && *minor < 9) || (*major == 1 && *minor == 0)))
    return {};
  return Fail(Code::kInvalidArgument, path, ": cdiVersion \"", version, "\" is none from 0.3.0 to 1.0.0");
}

}  // namespace

base::Result<CdiSpec> ParseCdiSpec(std::string_view text, const std::string& path) {
  Json document;
  if (path.ends_with(".json")) {
    ASSIGN_OR_RETURN(document, json::Parse(text, path));
  } else {
    ASSIGN_OR_RETURN(document, ParseYaml(text, path));
  }
  CdiSpec out;
  ASSIGN_OR_RETURN(const std::string version, json::String(document, "cdiVersion", path));
  RETURN_IF_ERROR(CheckVersion(version, path));
  ASSIGN_OR_RETURN(out.kind, json::String(document, "kind", path));
  if (!IsKind(out.kind))
    return Fail(Code::kInvalidArgument, path, ": kind \"", out.kind, "\" is not of the form vendor/class");
  ASSIGN_OR_RETURN(out.edits, ReadEdits(document, path));
  RETURN_IF_ERROR(EachObject(document, "devices", path, [&](const Json& device) -> base::Status {
    ASSIGN_OR_RETURN(const std::string name, json::String(device, "name", path));
    if (!IsDevice(name)) return Fail(Code::kInvalidArgument, path, ": \"", name, "\" is no device's name");
    if (out.devices.size() >= kMaxDevices)
      return Fail(Code::kInvalidArgument, path, ": more than ", kMaxDevices, " devices");
    ASSIGN_OR_RETURN(CdiEdits edits, ReadEdits(device, Cat(path, ": device ", name)));
    if (!out.devices.emplace(name, std::move(edits)).second)
      return Fail(Code::kInvalidArgument, path, ": device ", name, " stands twice");
    return {};
  }));
  return out;
}

base::Result<std::vector<std::string>> CdiNames(const cri::ContainerConfig& config) {
  std::vector<std::string> out;
  const auto add = [&](const std::string& name, std::string_view where) -> base::Status {
    const size_t equals = name.find('=');
    if (equals == std::string::npos || !IsKind(name.substr(0, equals)) || !IsDevice(name.substr(equals + 1))) {
      return Fail(Code::kInvalidArgument, where, ": \"", name.substr(0, 200),
                  "\" is not of the form vendor/class=device");
    }
    if (out.size() >= kMaxNames) return Fail(Code::kInvalidArgument, where, ": more than ", kMaxNames, " devices");
    if (std::find(out.begin(), out.end(), name) == out.end()) out.push_back(name);
    return {};
  };
  for (const cri::CDIDevice& device : config.cdi_devices()) RETURN_IF_ERROR(add(device.name(), "CDI_devices"));
  // A map's order is nobody's: by their keys, so that a request always comes to the same.
  const std::map<std::string, std::string> annotations(config.annotations().begin(), config.annotations().end());
  for (const auto& [key, value] : annotations) {
    if (!key.starts_with("cdi.k8s.io/")) continue;
    for (const std::string_view name : base::Split(value, ','))
      RETURN_IF_ERROR(add(std::string(base::Trim(name)), "annotation " + key));
  }
  return out;
}

}  // namespace berth::container
