#include "network/torn_reservations.h"

#include <arpa/inet.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "json/json.h"

namespace berth::network {
namespace {

constexpr const char* kDefaultFolder = "/var/lib/cni/networks";

bool IsAddress(const std::string& name) {
  in6_addr out{};
  return inet_pton(AF_INET, name.c_str(), &out) == 1 || inet_pton(AF_INET6, name.c_str(), &out) == 1;
}

base::Result<size_t> ForgetIn(const base::Path& folder) {
  const auto names = base::ListFolder(folder);
  if (!names && names.error().err == ENOENT) return size_t{0};
  if (!names) return tl::make_unexpected(names.error());
  size_t count = 0;
  for (const std::string& name : *names) {
    struct stat info {};
    if (!IsAddress(name) || lstat((folder / name).c_str(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_size != 0)
      continue;
    RETURN_IF_ERROR(base::RemoveFile(folder / name));
    ++count;
  }
  return count;
}

}  // namespace

base::Result<size_t> ForgetTornReservations(const ConfigList& list) {
  size_t count = 0;
  for (const PluginConfig& plugin : list.plugins) {
    ASSIGN_OR_RETURN(const nlohmann::json config, json::Parse(plugin.json, plugin.type));
    const auto ipam = config.find("ipam");
    if (ipam == config.end() || !ipam->is_object()) continue;
    ASSIGN_OR_RETURN(const std::string type, json::String(*ipam, "type", plugin.type));
    if (type != "host-local") continue;
    ASSIGN_OR_RETURN(const std::string folder, json::String(*ipam, "dataDir", plugin.type));
    ASSIGN_OR_RETURN(const size_t here, ForgetIn(base::Path(folder.empty() ? kDefaultFolder : folder) / list.name));
    count += here;
  }
  return count;
}

}  // namespace berth::network
