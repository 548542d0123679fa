#include "server/host.h"

#include <unistd.h>

#include <array>
#include <cctype>
#include <filesystem>

#include "config/units.h"

namespace berth::server {
namespace {

using base::Code;
using base::Fail;

base::Path OwnFolder() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
}

base::Result<base::Path> FindProgram(const base::Path& configured, const char* name) {
  if (!configured.empty()) {
    if (access(configured.c_str(), X_OK) == 0) return configured;
    return Fail(Code::kFailedPrecondition, configured.native(), " is configured and cannot be executed");
  }
  for (const base::Path& folder : {OwnFolder(), base::Path("/usr/libexec/berth")}) {
    if (access((folder / name).c_str(), X_OK) == 0) return folder / name;
  }
  return Fail(Code::kFailedPrecondition, name, " is neither beside berthd nor in /usr/libexec/berth");
}

bool HasSwapController(const kernel::CgroupTree& cgroups) {
  for (const kernel::CgroupHierarchy& hierarchy : cgroups.hierarchies()) {
    if (!hierarchy.v2) {
      if (base::Exists(hierarchy.mount / "memory.memsw.limit_in_bytes")) return true;
      continue;
    }
    // The root group has no such file: any group below it tells.
    const auto names = base::ListFolder(hierarchy.mount);
    if (!names) continue;
    for (const std::string& name : *names) {
      if (base::Exists(hierarchy.mount / name / "memory.swap.max")) return true;
    }
  }
  return false;
}

}  // namespace

base::Path FindInstalled(const std::string& name) {
  constexpr std::array<const char*, 6> kFolders = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                                   "/usr/bin",        "/sbin",          "/bin"};
  for (const char* folder : kFolders) {
    const base::Path path = base::Path(folder) / name;
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return {};
}

base::Result<Programs> FindPrograms(const config::Config::Helpers& helpers) {
  Programs programs;
  ASSIGN_OR_RETURN(programs.monitor, FindProgram(helpers.monitor, "berth-monitor"));
  ASSIGN_OR_RETURN(programs.helper, FindProgram(helpers.helper, "berth-helper"));
  ASSIGN_OR_RETURN(programs.pause, FindProgram(helpers.pause, "berth-pause"));
  return programs;
}

bool UsesSystemd(config::CgroupDriver driver, const kernel::CgroupTree& cgroups) {
  if (driver != config::CgroupDriver::kAuto) return driver == config::CgroupDriver::kSystemd;
  // sd_booted(3): the folder is there exactly when systemd is pid 1.
  return cgroups.unified() && base::Exists("/run/systemd/system");
}

base::Result<container::Runtimes> FindRuntimes(const config::Config& config, const base::Path& helper,
                                               bool systemd_cgroup) {
  container::Runtimes out;
  for (const auto& [name, runtime] : config.runtimes) {
    const base::Path path = runtime.path.empty() ? FindInstalled(name) : runtime.path;
    if (path.empty()) continue;
    if (access(path.c_str(), X_OK) != 0) {
      return Fail(Code::kFailedPrecondition, "runtimes.", name, ".path: ", path.native(), " cannot be executed");
    }
    const base::Path root = runtime.root.empty() ? config.run_root / "oci" / name : runtime.root;
    out.emplace(name,
                std::make_shared<oci::RuntimeBinary>(oci::RuntimeBinary::Options{
                    .name = name, .path = path, .root = root, .helper = helper, .systemd_cgroup = systemd_cgroup}));
  }
  return out;
}

base::Result<std::string> DefaultRuntime(const config::Config& config, const container::Runtimes& runtimes) {
  if (!config.default_runtime.empty()) {
    if (runtimes.contains(config.default_runtime)) return config.default_runtime;
    return Fail(Code::kFailedPrecondition, "default_runtime \"", config.default_runtime,
                "\" is not configured or not installed");
  }
  for (const char* name : {"crun", "runc"}) {
    if (runtimes.contains(name)) return std::string(name);
  }
  return runtimes.empty() ? std::string() : runtimes.begin()->first;
}

container::ResourceOptions ResourceOptionsOf(const kernel::CgroupTree& cgroups,
                                             const config::Config::Container& config) {
  return {.cgroup_v2 = cgroups.unified(),
          .swap_controller = HasSwapController(cgroups),
          .hugetlb_controller = cgroups.HasController("hugetlb"),
          .pids_limit = config.pids_limit,
          .memory_minimum = static_cast<int64_t>(config.memory_minimum.bytes)};
}

std::vector<oci::Rlimit> RlimitsOf(const std::vector<std::string>& ulimits) {
  std::vector<oci::Rlimit> out;
  for (const std::string& text : ulimits) {
    const auto limit = config::ParseUlimit(text);
    if (!limit) continue;  // the configuration was checked by the same function
    std::string type = "RLIMIT_";
    for (const char c : limit->name) type.push_back(static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
    // Of two with one name the later counts: drop-ins come last.
    std::erase_if(out, [&](const oci::Rlimit& other) { return other.type == type; });
    out.push_back({.type = std::move(type), .hard = limit->hard, .soft = limit->soft});
  }
  return out;
}

std::map<std::string, container::Handler> HandlersOf(const std::map<std::string, config::Runtime>& runtimes) {
  std::map<std::string, container::Handler> out;
  for (const auto& [name, runtime] : runtimes) {
    container::Handler& handler = out[name];
    handler.privileged_without_host_devices = runtime.privileged_without_host_devices;
    handler.systemd_containers = runtime.systemd_containers;
    handler.allowed_annotations = runtime.allowed_annotations;
    for (const std::string& text : runtime.annotations) {
      const size_t equals = text.find('=');
      handler.annotations[text.substr(0, equals)] = text.substr(equals + 1);
    }
  }
  return out;
}

}  // namespace berth::server
