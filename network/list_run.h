// One command run over the plugins of one list (CNI spec, sections 3 and 4).
#pragma once

#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "base/context.h"
#include "base/result.h"
#include "network/config_list.h"
#include "network/plugin.h"

namespace berth::network {

// Called before each run of a plugin, in the caller's thread.
using Observer = std::function<void(std::string_view plugin, std::string_view command)>;

// Borrows what it points to. A plain bundle of what every command needs.
struct ListRun {
  PluginRunner& runner;
  const ConfigList& list;
  std::chrono::milliseconds plugin_timeout;
  const Observer& observer;
  // For ADD, DEL and CHECK alone.
  std::string sandbox_id{};
  std::string netns{};  // empty: it is gone
  std::string args{};
  std::string capability_args{};  // JSON object or empty

  // In order; the result of each is given to the next. Returns the last one, in the list's version. Stops at the first
  // error and undoes nothing.
  base::Result<std::string> Add(const base::Context& context) const;
  // In reverse order, all of them; the first error. `previous` is ADD's result or empty. A plugin that does not know
  // the container any more (code 3) has nothing to undo.
  base::Status Del(std::string_view previous, const base::Context& context) const;
  base::Status Check(std::string_view previous, const base::Context& context) const;
  base::Status AskStatus(const base::Context& context) const;
  base::Status Gc(const std::set<std::string>& valid, const base::Context& context) const;

 private:
  base::Result<std::string> RunPlugin(const PluginConfig& plugin, std::string_view command, std::string_view previous,
                                      std::string_view attachments, const base::Context& context,
                                      int* code = nullptr) const;
};

// What a plugin gets on stdin: its object with the list's name and version, those of `capability_args` that it
// declares, and, when not empty, `previous` as prevResult and `attachments` as the valid attachments. For RunPlugin and
// its test.
base::Result<std::string> PluginInput(const ConfigList& list, const PluginConfig& plugin,
                                      std::string_view capability_args, std::string_view previous,
                                      std::string_view attachments);

}  // namespace berth::network
