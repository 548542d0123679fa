#include "network/config_list.h"

#include <algorithm>
#include <cerrno>
#include <optional>

#include <nlohmann/json.hpp>

#include "json/json.h"
#include "network/version.h"

namespace berth::network {
namespace {

using base::Code;
using base::Fail;
using Json = nlohmann::json;

bool IsAlphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// A switch may be written as a boolean or as the word for it.
base::Result<bool> Switch(const Json& object, const char* key, std::string_view what) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return false;
  if (found->is_boolean()) return found->get<bool>();
  if (*found == "true") return true;
  if (*found == "false") return false;
  return Fail(Code::kInvalidArgument, what, ": ", key, " is neither true nor false");
}

base::Result<std::string> ChooseVersion(const Json& list, std::string_view what) {
  ASSIGN_OR_RETURN(const std::string single, json::String(list, "cniVersion", what));
  ASSIGN_OR_RETURN(std::vector<std::string> offered, json::Strings(list, "cniVersions", what));
  if (!single.empty()) offered.push_back(single);
  if (offered.empty()) return std::string(SpecVersions().front());
  std::string best;
  for (const std::string& version : offered) {
    if (IsSpecVersion(version) && (best.empty() || AtLeast(version, best))) best = version;
  }
  if (best.empty()) return Fail(Code::kInvalidArgument, what, ": CNI version ", offered.back(), " is not supported");
  return best;
}

base::Result<PluginConfig> ParsePlugin(const Json& object, std::string_view what) {
  if (!object.is_object()) return Fail(Code::kInvalidArgument, what, ": a plugin is not an object");
  PluginConfig plugin;
  ASSIGN_OR_RETURN(plugin.type, json::String(object, "type", what));
  if (plugin.type.empty()) return Fail(Code::kInvalidArgument, what, ": a plugin has no type");
  const bool is_file_name = plugin.type.size() <= 255 && plugin.type != "." && plugin.type != ".." &&
                            plugin.type.find('/') == std::string::npos && plugin.type.find('\0') == std::string::npos;
  if (!is_file_name) return Fail(Code::kInvalidArgument, what, ": the type of a plugin is not the name of a file");
  ASSIGN_OR_RETURN(const Json* capabilities, json::Object(object, "capabilities", what));
  if (capabilities != nullptr) {
    for (const auto& [name, value] : capabilities->items()) {
      if (!value.is_boolean())
        return Fail(Code::kInvalidArgument, what, ": capability ", name, " is neither true nor false");
      if (value.get<bool>()) plugin.capabilities.insert(name);
    }
  }
  plugin.json = json::Dump(object);
  return plugin;
}

// `<root>/<network>/*.conf`, one plugin each (CNI spec 1.1, "loadOnlyInlinedPlugins").
base::Status AppendFolder(Json& plugins, const base::Path& folder) {
  auto names = base::ListFolder(folder);
  if (!names) {
    if (names.error().err == ENOENT || names.error().err == ENOTDIR) return {};
    return tl::make_unexpected(std::move(names).error());
  }
  std::erase_if(*names, [](const std::string& name) { return !name.ends_with(".conf"); });
  std::ranges::sort(*names);
  if (names->size() > kPluginLimit)
    return Fail(Code::kInvalidArgument, folder.native(), ": more than ", kPluginLimit, " plugins");
  for (const std::string& name : *names) {
    const base::Path file = folder / name;
    ASSIGN_OR_RETURN(const std::string text, base::ReadFile(file, kConfigLimit));
    ASSIGN_OR_RETURN(Json plugin, json::Parse(text, file.native()));
    plugins.push_back(std::move(plugin));
  }
  return {};
}

base::Result<Json> InlinedPlugins(Json& document, std::string_view what) {
  ASSIGN_OR_RETURN(const Json* inlined, json::Array(document, "plugins", what));
  if (inlined != nullptr) return *inlined;
  Json plugins = Json::array();
  if (document.contains("type")) {
    // A lone plugin's object: it becomes the one plugin of a list with its name and version.
    plugins.push_back(document);
    Json wrapped = {{"name", document.value("name", Json())}, {"cniVersion", document.value("cniVersion", Json())}};
    document = std::move(wrapped);
  }
  return plugins;
}

}  // namespace

bool IsNetworkName(std::string_view name) {
  return !name.empty() && name.size() <= 128 && IsAlphanumeric(name[0]) &&
         std::ranges::all_of(name, [](char c) { return IsAlphanumeric(c) || c == '_' || c == '.' || c == '-'; });
}

bool Takes(const ConfigList& list, const std::string& capability) {
  return std::any_of(list.plugins.begin(), list.plugins.end(),
                     [&](const PluginConfig& plugin) { return plugin.capabilities.contains(capability); });
}

base::Result<ConfigList> ParseConfigList(std::string_view text, std::string_view what, const base::Path& plugin_root) {
  if (text.size() > kConfigLimit) return Fail(Code::kInvalidArgument, what, ": larger than ", kConfigLimit, " bytes");
  ASSIGN_OR_RETURN(Json document, json::Parse(text, what));
  ConfigList list;
  ASSIGN_OR_RETURN(list.name, json::String(document, "name", what));
  if (!IsNetworkName(list.name)) return Fail(Code::kInvalidArgument, what, ": no valid network name");
  ASSIGN_OR_RETURN(list.version, ChooseVersion(document, what));
  ASSIGN_OR_RETURN(list.disable_check, Switch(document, "disableCheck", what));
  ASSIGN_OR_RETURN(list.disable_gc, Switch(document, "disableGC", what));
  ASSIGN_OR_RETURN(const bool only_inlined, Switch(document, "loadOnlyInlinedPlugins", what));

  const bool is_list = !document.contains("type") || document.contains("plugins");
  ASSIGN_OR_RETURN(Json plugins, InlinedPlugins(document, what));
  if (is_list && !only_inlined && !plugin_root.empty())
    RETURN_IF_ERROR(AppendFolder(plugins, plugin_root / list.name), what);
  if (plugins.empty()) return Fail(Code::kInvalidArgument, what, ": no plugins");
  if (plugins.size() > kPluginLimit)
    return Fail(Code::kInvalidArgument, what, ": more than ", kPluginLimit, " plugins");
  for (const Json& object : plugins) {
    ASSIGN_OR_RETURN(PluginConfig plugin, ParsePlugin(object, what));
    list.plugins.push_back(std::move(plugin));
  }
  document["plugins"] = std::move(plugins);
  list.text = json::Dump(document);
  return list;
}

}  // namespace berth::network
