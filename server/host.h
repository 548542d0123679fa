// What this host and this process are like, looked at once at the start.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/config.h"
#include "container/containers.h"
#include "container/resources.h"
#include "kernel/cgroup.h"

namespace berth::server {

struct Programs {
  base::Path monitor;
  base::Path helper;
  base::Path pause;
};
// A program in the system's folders; empty where it is not installed.
base::Path FindInstalled(const std::string& program);

// Ours: as configured, else beside berthd, else in /usr/libexec/berth. An error names the one that is missing.
base::Result<Programs> FindPrograms(const config::Config::Helpers& helpers);

bool UsesSystemd(config::CgroupDriver driver, const kernel::CgroupTree& cgroups);

// Those of the configured handlers whose program is there; a configured path that is missing is an error.
// `helper`: berth-helper.
base::Result<container::Runtimes> FindRuntimes(const config::Config& config, const base::Path& helper,
                                               bool systemd_cgroup);
// The configured one (an error when it is not there), else crun, else runc, else "".
base::Result<std::string> DefaultRuntime(const config::Config& config, const container::Runtimes& runtimes);

container::ResourceOptions ResourceOptionsOf(const kernel::CgroupTree& cgroups,
                                             const config::Config::Container& config);
std::vector<oci::Rlimit> RlimitsOf(const std::vector<std::string>& ulimits);
std::map<std::string, container::Handler> HandlersOf(const std::map<std::string, config::Runtime>& runtimes);

}  // namespace berth::server
