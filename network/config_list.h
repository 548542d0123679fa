// A CNI network configuration list (CNI spec, section 1) as it was written.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace berth::network {

inline constexpr size_t kConfigLimit = 1 << 20;  // bytes of one configuration file
inline constexpr size_t kPluginLimit = 32;       // plugins of one list

struct PluginConfig {
  std::string type;                    // name of the binary; no slash
  std::string json;                    // the plugin's object, compact; nothing added, nothing lost
  std::set<std::string> capabilities;  // those declared true
};

struct ConfigList {
  std::string name;
  std::string version;  // the one chosen from cniVersion and cniVersions; "0.1.0" when the file names none
  bool disable_check = false;
  bool disable_gc = false;
  std::vector<PluginConfig> plugins;  // at least one
  // The whole list as one document with every plugin inlined: parses to an equal list without any folder. What the
  // cache keeps, so that a later DEL uses what ADD used.
  std::string text;
};

// Letters, digits, '_', '.', '-'; the first a letter or digit; at most 128 bytes.
bool IsNetworkName(std::string_view name);

// Whether a plugin of the list has this capability.
bool Takes(const ConfigList& list, const std::string& capability);

// Parses a list, or a single plugin's object (wrapped as a list of one). `plugin_root`, when not empty, is the folder
// whose subfolder named as the network may hold further plugins (`*.conf`, sorted; unless loadOnlyInlinedPlugins):
// then this reads files. Errors are kInvalidArgument; `what` begins their text.
base::Result<ConfigList> ParseConfigList(std::string_view text, std::string_view what,
                                         const base::Path& plugin_root = {});

}  // namespace berth::network
