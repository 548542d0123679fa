// The daemon's configuration: one struct with its defaults, read from YAML files and flags, printed as commented YAML.
//
// What each key means, its unit and what it may be stands in one table (keys.cc) that reading, checking and printing
// share.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace berth::config {

struct ByteCount {
  uint64_t bytes = 0;
  auto operator<=>(const ByteCount&) const = default;
};
struct FileMode {
  uint32_t bits = 0;
  auto operator<=>(const FileMode&) const = default;
};
constexpr ByteCount KiB(uint64_t n) {
  return {n << 10};
}
constexpr ByteCount MiB(uint64_t n) {
  return {n << 20};
}
constexpr ByteCount GiB(uint64_t n) {
  return {n << 30};
}

enum class LogLevel { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kText, kJson };
enum class CgroupDriver { kAuto, kCgroupfs, kSystemd };
enum class IpPreference { kIpv4, kIpv6, kCni };

struct Runtime {
  base::Path path;  // empty: the handler's name looked up in the system's binary folders
  base::Path root;  // empty: <run_root>/oci/<handler>
  std::vector<std::string> annotations;
  std::vector<std::string> allowed_annotations;
  bool privileged_without_host_devices = false;
  bool systemd_containers = false;
  bool operator==(const Runtime&) const = default;
};

struct Registry {
  std::vector<std::string> mirrors;
  bool insecure = false;
  bool operator==(const Registry&) const = default;
};

struct Config {
  base::Path state_root = "/var/lib/berth";
  base::Path run_root = "/run/berth";
  std::map<std::string, Runtime> runtimes{{"crun", {}}, {"runc", {}}};
  std::string default_runtime;  // empty: crun if it is there, else runc

  struct Grpc {
    base::Path socket = "/run/berth/berth.sock";
    FileMode socket_mode{0660};
    int64_t socket_gid = 0;
    ByteCount max_message = MiB(16);
    bool operator==(const Grpc&) const = default;
  } grpc;

  struct Log {
    LogLevel level = LogLevel::kInfo;
    LogFormat format = LogFormat::kText;
    bool operator==(const Log&) const = default;
  } log;

  struct Cgroup {
    CgroupDriver driver = CgroupDriver::kAuto;  // auto: systemd where it is pid 1 and cgroups are v2, else cgroupfs
    std::string monitor_parent;                 // empty: beside the pod's containers
    bool operator==(const Cgroup&) const = default;
  } cgroup;

  struct Helpers {
    base::Path monitor;  // these empty: beside berthd, else in /usr/libexec/berth
    base::Path helper;
    base::Path pause;
    std::chrono::milliseconds path_timeout{2000};
    int64_t max_stuck = 64;
    bool operator==(const Helpers&) const = default;
  } helpers;

  struct Network {
    base::Path conf_dir = "/etc/cni/net.d";
    std::vector<std::string> bin_dirs{"/opt/cni/bin", "/usr/libexec/cni", "/usr/lib/cni"};
    base::Path cache_dir;  // empty: <state_root>/cni
    base::Path netns_dir = "/run/netns";
    std::chrono::milliseconds plugin_timeout{60'000};
    std::string default_network;
    IpPreference ip_preference = IpPreference::kIpv4;
    bool operator==(const Network&) const = default;
  } network;

  struct Image {
    std::map<std::string, Registry> registries;
    std::vector<std::string> certificate_dirs{"/etc/berth/certs.d", "/etc/containerd/certs.d",
                                              "/etc/containers/certs.d", "/etc/docker/certs.d"};
    base::Path registries_conf = "/etc/containers/registries.conf";
    std::vector<std::string> auth_files{"/etc/berth/auth.json"};
    std::chrono::milliseconds auth_helper_timeout{10'000};
    int64_t parallel_pulls = 16;
    int64_t parallel_layers = 3;
    std::chrono::milliseconds connect_timeout{15'000};
    std::chrono::milliseconds stall_window{60'000};
    ByteCount stall_bytes = KiB(1);
    int64_t attempts = 5;
    int64_t mirror_attempts = 2;
    base::Path signature_policy = "/etc/containers/policy.json";
    base::Path import_dir;  // empty: <state_root>/import
    std::vector<std::string> pinned;
    ByteCount max_layer_size = GiB(256);
    int64_t max_layer_entries = 10'000'000;
    ByteCount window_memory = MiB(40);
    bool operator==(const Image&) const = default;
  } image;

  struct Container {
    std::vector<std::string> default_capabilities{
        "CHOWN",  "DAC_OVERRIDE", "FSETID",  "FOWNER",           "MKNOD",      "NET_RAW", "SETGID",
        "SETUID", "SETFCAP",      "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL",    "AUDIT_WRITE"};
    std::vector<std::string> cdi_dirs{"/etc/cdi", "/var/run/cdi"};
    std::vector<std::string> hooks_dirs{"/usr/share/containers/oci/hooks.d", "/etc/containers/oci/hooks.d"};
    int64_t pids_limit = 0;
    ByteCount memory_minimum = KiB(512);
    std::vector<std::string> default_ulimits;
    std::vector<std::string> default_sysctls;
    bool device_ownership_from_security_context = false;
    bool clamp_oom_score_adj = true;
    ByteCount shm_size = MiB(64);
    ByteCount log_line_limit = KiB(16);
    std::chrono::milliseconds create_timeout{240'000};
    std::chrono::milliseconds drain_timeout{2000};
    std::chrono::milliseconds exec_drain_timeout{500};
    ByteCount exec_output_limit{(16 << 20) - (64 << 10)};  // what fits a reply of 16 MiB
    bool operator==(const Container&) const = default;
  } container;

  struct Streaming {
    std::string address = "127.0.0.1";
    int64_t port = 0;
    base::Path tls_cert;
    base::Path tls_key;
    base::Path tls_ca;
    std::chrono::milliseconds idle_timeout{4 * 3600 * 1000};
    std::chrono::milliseconds creation_timeout{30'000};
    bool operator==(const Streaming&) const = default;
  } streaming;

  struct Metrics {
    std::string address = "127.0.0.1";
    int64_t port = 9465;
    base::Path socket;
    base::Path tls_cert;
    base::Path tls_key;
    base::Path tls_ca;
    bool operator==(const Metrics&) const = default;
  } metrics;

  struct Tracing {
    std::string endpoint;  // empty: none
    bool operator==(const Tracing&) const = default;
  } tracing;

  struct Limits {
    int64_t lifecycle_threads = 32;
    int64_t operation_threads = 32;
    int64_t stop_threads = 256;
    int64_t exec_threads = 64;
    int64_t stream_threads = 64;
    int64_t pull_threads = 64;
    int64_t removal_threads = 4;
    bool operator==(const Limits&) const = default;
  } limits;

  bool operator==(const Config&) const = default;
};

inline constexpr std::string_view kDefaultFile = "/etc/berth/berth.yaml";
inline constexpr std::string_view kDefaultDropinDir = "/etc/berth/berth.d";

struct LoadOptions {
  base::Path file;  // empty: kDefaultFile, which may be missing; one that is named must be there
  base::Path
      dropin_dir;  // empty: kDefaultDropinDir; its *.yaml are read in bytewise order of their names; may be missing
  std::vector<std::string>
      overrides;  // "network.plugin_timeout=30s", "runtimes.crun.path=/usr/bin/crun": win over files
};

// Defaults, then the file, then drop-ins, then overrides; later ones win for each key, lists are replaced whole, an
// entry of a map set to null is removed. Errors are kInvalidArgument (kNotFound for a named file that is missing) with
// one line for each problem, "/etc/berth/berth.yaml:12: container.pids_limit: not a whole number of at least 0". Reads
// files.
base::Result<Config> Load(const LoadOptions& options);

// One document, in the same way; `name` stands for the file in errors.
base::Result<Config> Parse(std::string_view yaml, const std::string& name);

// Every key with its meaning, unit and default as commented YAML that Load turns into the same Config.
std::string Print(const Config& config);

}  // namespace berth::config
