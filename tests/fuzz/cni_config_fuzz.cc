// CNI configuration files: what an operator or network provider may write.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "network/config_list.h"
#include "network/list_run.h"
#include "network/quantity.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth::network;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)ParseQuantity(text);
  const auto list = ParseConfigList(text, "fuzz");
  if (!list) return 0;
  // The cache keeps `text`: DEL must find the same list in it.
  const auto again = ParseConfigList(list->text, "again");
  if (!again || again->name != list->name || again->version != list->version ||
      again->plugins.size() != list->plugins.size())
    std::abort();
  for (const PluginConfig& plugin : list->plugins) {
    if (!PluginInput(*list, plugin, "{\"portMappings\":[]}", "{}", "[]")) std::abort();
  }
  return 0;
}
