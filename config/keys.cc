#include "config/keys.h"

#include <arpa/inet.h>

#include "base/strings.h"
#include "config/units.h"

namespace berth::config {
namespace {

using std::string_view;

template <auto Member>
struct MemberTraits;
template <typename Class, typename Type, Type Class::*Member>
struct MemberTraits<Member> {
  using Object = Class;
};

template <typename T>
Field Ref(T& value) {
  if constexpr (std::is_enum_v<T>) {
    return EnumRef{&value, [](const void* at) { return static_cast<int>(*static_cast<const T*>(at)); },
                   [](void* at, int index) { *static_cast<T*>(at) = static_cast<T>(index); }};
  } else {
    return &value;
  }
}

// The field of a member, or of a member of a section.
template <auto Member>
Field At(void* object) {
  return Ref(static_cast<typename MemberTraits<Member>::Object*>(object)->*Member);
}
template <auto Section, auto Member>
Field At(void* object) {
  return Ref(static_cast<Config*>(object)->*Section.*Member);
}

string_view Absolute(string_view text) {
  const bool right = text.starts_with('/') && base::Path(text).lexically_normal() == base::Path(text);
  return right ? "" : "an absolute path without \".\", \"..\", \"//\" or \"/\" at its end";
}
string_view AbsoluteOrEmpty(string_view text) {
  return text.empty() ? "" : Absolute(text);
}
string_view Folder(string_view text) {
  return text == "/" ? "an absolute path that is not \"/\"" : Absolute(text);
}
bool Only(string_view text, string_view more) {
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!plain && more.find(c) == string_view::npos) return false;
  }
  return true;
}
string_view Handler(string_view text) {
  const bool right = !text.empty() && text.size() <= 63 && text.front() != '.' && Only(text, "-_.");
  return right ? "" : "1 to 63 letters, digits, \"-\", \"_\" and \".\", not beginning with \".\"";
}
string_view HandlerOrEmpty(string_view text) {
  return text.empty() ? "" : Handler(text);
}
string_view Host(string_view text) {
  return !text.empty() && text.size() <= 255 && Only(text, "-.:[]")
             ? ""
             : "a registry's host or host:port, as in image names";
}
string_view Url(string_view text) {
  const size_t scheme = text.starts_with("https://") ? 8 : text.starts_with("http://") ? 7 : 0;
  const string_view rest = text.substr(scheme);
  const bool right =
      scheme > 0 && !rest.empty() && rest.front() != '/' && rest.find_first_of(" @?#") == string_view::npos;
  return right ? "" : "a URL http(s)://host[:port][/path] without user, query or fragment";
}
string_view Capability(string_view text) {
  return !text.empty() && Only(text, "_") && !text.starts_with("CAP_") ? "" : "names of capabilities without \"CAP_\"";
}
string_view Ulimit(string_view text) {
  return ParseUlimit(text) ? "" : "texts as \"nofile=1024:65535\" (soft:hard), -1 for unlimited";
}
string_view Annotation(string_view text) {
  return text.find('=') != string_view::npos && text.front() != '=' ? "" : "texts of the form key=value";
}
string_view NotEmpty(string_view text) {
  return text.empty() ? "texts that are not empty" : "";
}
string_view NetworkName(string_view text) {
  return Only(text, "-_.") && text.size() <= 255 ? "" : "letters, digits, \"-\", \"_\" and \".\"";
}
string_view CgroupName(string_view text) {
  return text.empty() || text.ends_with(".slice") ? "" : AbsoluteOrEmpty(text);
}

string_view UrlOrEmpty(string_view text) {
  return text.empty() ? "" : Url(text);
}
string_view AddressOrOff(string_view text) {
  const std::string address(text);
  in6_addr parsed{};
  const bool right = text == "off" || inet_pton(AF_INET, address.c_str(), &parsed) == 1 ||
                     inet_pton(AF_INET6, address.c_str(), &parsed) == 1;
  return right ? "" : "an IP address, or off";
}

constexpr int64_t kSecond = 1000;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kHour = 60 * kMinute;
constexpr int64_t kMiB = 1 << 20;
constexpr int64_t kGiB = 1 << 30;
constexpr int64_t kTiB = int64_t{1} << 40;

using C = Config;

const Key kConfigKeys[] = {
    Key{"state_root", At<&C::state_root>,
        "Folder of what a reboot must not lose: records, images, container file systems."}
        .Check(Folder),
    Key{"run_root", At<&C::run_root>, "Folder of what must not outlive a boot: sockets, bundles, mounts. A tmpfs."}
        .Check(Folder),
    Key{"runtimes", At<&C::runtimes>,
        "OCI runtimes by handler name. Those not installed are not offered. null removes one."}
        .Check(Handler),
    Key{"default_runtime", At<&C::default_runtime>,
        "Handler used when a pod names none. Empty: crun if installed, else runc."}
        .Check(HandlerOrEmpty),

    Key{"grpc.socket", At<&C::grpc, &C::Grpc::socket>, "Socket that the kubelet and clients connect to."}.Check(Folder),
    Key{"grpc.socket_mode", At<&C::grpc, &C::Grpc::socket_mode>,
        "Its mode, octal. Whoever can write to it is root on this node."},
    Key{"grpc.socket_gid", At<&C::grpc, &C::Grpc::socket_gid>, "Its group, by number."}.Range(0,
                                                                                              UINT32_MAX - int64_t{1}),
    Key{"grpc.max_message", At<&C::grpc, &C::Grpc::max_message>,
        "Largest message taken. Clients send and take up to 16MiB."}
        .Range(kMiB, kGiB),

    Key{"log.level", At<&C::log, &C::Log::level>, "What is logged: this and what is worse."}.Choices(
        {"debug", "info", "warning", "error"}),
    Key{"log.format", At<&C::log, &C::Log::format>, "How it is logged."}.Choices({"text", "json"}),

    Key{"cgroup.driver", At<&C::cgroup, &C::Cgroup::driver>,
        "Who makes cgroups; the kubelet asks for it. auto: systemd where it runs with cgroup v2, else cgroupfs."}
        .Choices({"auto", "cgroupfs", "systemd"}),
    Key{"cgroup.monitor_parent", At<&C::cgroup, &C::Cgroup::monitor_parent>,
        "Cgroup or slice under which monitors get theirs. Empty: beside the pod's containers."}
        .Check(CgroupName),

    Key{"helpers.monitor", At<&C::helpers, &C::Helpers::monitor>,
        "The berth-monitor binary. Empty: beside berthd, else in /usr/libexec/berth."}
        .Check(AbsoluteOrEmpty),
    Key{"helpers.helper", At<&C::helpers, &C::Helpers::helper>, "The berth-helper binary. Empty: as above."}.Check(
        AbsoluteOrEmpty),
    Key{"helpers.pause", At<&C::helpers, &C::Helpers::pause>, "The berth-pause binary. Empty: as above."}.Check(
        AbsoluteOrEmpty),
    Key{"helpers.path_timeout", At<&C::helpers, &C::Helpers::path_timeout>,
        "How long a call on a host path may take before it is given up, in case its mount is dead."}
        .Range(100, kMinute),
    Key{"helpers.max_stuck", At<&C::helpers, &C::Helpers::max_stuck>,
        "Helpers at a time, those stuck on dead mounts included."}
        .Range(1, 4096),

    Key{"network.conf_dir", At<&C::network, &C::Network::conf_dir>, "Folder of CNI configuration; watched."}.Check(
        Folder),
    Key{"network.bin_dirs", At<&C::network, &C::Network::bin_dirs>, "Folders of CNI plugins, searched in this order."}
        .Check(Folder),
    Key{"network.cache_dir", At<&C::network, &C::Network::cache_dir>,
        "Folder of CNI results, which must survive a reboot. Empty: <state_root>/cni."}
        .Check(AbsoluteOrEmpty),
    Key{"network.netns_dir", At<&C::network, &C::Network::netns_dir>, "Folder in which network namespaces are pinned."}
        .Check(Folder),
    Key{"network.plugin_timeout", At<&C::network, &C::Network::plugin_timeout>,
        "Time limit of each run of a CNI plugin."}
        .Range(kSecond, kHour),
    Key{"network.default_network", At<&C::network, &C::Network::default_network>,
        "Name of the CNI network to use. Empty: that of the first file."}
        .Check(NetworkName),
    Key{"network.ip_preference", At<&C::network, &C::Network::ip_preference>,
        "Which of a pod's addresses is its first: of this family, or the plugins' first."}
        .Choices({"ipv4", "ipv6", "cni"}),

    Key{"image.registries", At<&C::image, &C::Image::registries>,
        "Registries, by host as it stands in image names, that need something said about them. null removes one."}
        .Check(Host),
    Key{"image.certificate_dirs", At<&C::image, &C::Image::certificate_dirs>,
        "Folders with a folder <host:port> for each registry: a hosts.toml, or certificates (*.crt is trusted besides "
        "the system's, *.cert with *.key is ours)."}
        .Check(Folder),
    Key{"image.registries_conf", At<&C::image, &C::Image::registries_conf>,
        "containers-registries.conf(5), with drop-ins in <file>.d: mirrors, blocked registries, short names. Read "
        "again "
        "when it changes. What image.registries names is not looked up there. Empty: none."}
        .Check(AbsoluteOrEmpty),
    Key{"image.auth_files", At<&C::image, &C::Image::auth_files>,
        "Files of credentials (docker's config.json or containers' auth.json), asked when a pull brings none. Whoever "
        "may "
        "run a pod here can use them."}
        .Check(Absolute),
    Key{"image.auth_helper_timeout", At<&C::image, &C::Image::auth_helper_timeout>,
        "How long a credential helper may take."}
        .Range(100, 10 * kMinute),
    Key{"image.parallel_pulls", At<&C::image, &C::Image::parallel_pulls>, "Images pulled at once; more wait."}.Range(
        1, 1000),
    Key{"image.parallel_layers", At<&C::image, &C::Image::parallel_layers>,
        "Layers of one pull transferred and unpacked at once."}
        .Range(1, 64),
    Key{"image.connect_timeout", At<&C::image, &C::Image::connect_timeout>, "For name, connection and TLS together."}
        .Range(100, 10 * kMinute),
    Key{"image.stall_window", At<&C::image, &C::Image::stall_window>,
        "A transfer that brings fewer than stall_bytes in this time is given up and resumed."}
        .Range(kSecond, kHour),
    Key{"image.stall_bytes", At<&C::image, &C::Image::stall_bytes>, "See stall_window."}.Range(1, kGiB),
    Key{"image.attempts", At<&C::image, &C::Image::attempts>, "Tries of one request at a registry that bring no byte."}
        .Range(1, 100),
    Key{"image.mirror_attempts", At<&C::image, &C::Image::mirror_attempts>, "The same at a mirror."}.Range(1, 100),
    Key{"image.signature_policy", At<&C::image, &C::Image::signature_policy>,
        "containers-policy.json(5) with insecureAcceptAnything, reject and sigstoreSigned by key; read at each pull. "
        "Missing or "
        "empty: every image is accepted. Archives are not looked up in it."}
        .Check(AbsoluteOrEmpty),
    Key{"image.import_dir", At<&C::image, &C::Image::import_dir>,
        "Folder of image archives (OCI layout or docker's format, tar, plain or compressed), taken in at the start and "
        "when "
        "they appear. Empty: <state_root>/import."}
        .Check(AbsoluteOrEmpty),
    Key{"image.pinned", At<&C::image, &C::Image::pinned>,
        "Images that the kubelet must not collect: full names, \"*\" allowed at either end."}
        .Check(NotEmpty),
    Key{"image.max_layer_size", At<&C::image, &C::Image::max_layer_size>, "Largest layer, unpacked."}.Range(
        kMiB, 1024 * kTiB),
    Key{"image.max_layer_entries", At<&C::image, &C::Image::max_layer_entries>, "Most files and folders of a layer."}
        .Range(1000, 1'000'000'000),
    Key{"image.window_memory", At<&C::image, &C::Image::window_memory>,
        "Memory for the windows of all zstd layers on their way, together; layers wait for it, and one that needs more "
        "is "
        "refused. Tools make windows of 8 MiB, or 32 at most, unless told otherwise."}
        .Range(kMiB, 8 * kGiB),

    Key{"container.default_capabilities", At<&C::container, &C::Container::default_capabilities>,
        "Capabilities of a container that asks for nothing else."}
        .Check(Capability),
    Key{"container.cdi_dirs", At<&C::container, &C::Container::cdi_dirs>,
        "Folders of CDI specifications (*.json, *.yaml), read again when they change; of two that have a device the "
        "later folder's "
        "counts."}
        .Check(Folder),
    Key{"container.hooks_dirs", At<&C::container, &C::Container::hooks_dirs>,
        "Folders with OCI hooks (oci-hooks(5), *.json); of two files of one name that of the later folder counts. Read "
        "for "
        "each container."}
        .Check(Absolute),
    Key{"container.pids_limit", At<&C::container, &C::Container::pids_limit>,
        "Most processes and threads of each container. 0: no limit but the pod's."}
        .Range(0, 4'194'304),
    Key{"container.memory_minimum", At<&C::container, &C::Container::memory_minimum>,
        "Smallest memory limit taken: below it the OCI runtime itself does not fit (crun 512KiB, runc 12MiB). 0: any."}
        .Range(0, kGiB),
    Key{"container.default_ulimits", At<&C::container, &C::Container::default_ulimits>,
        "Resource limits of every process in containers. Empty: those of berthd's own."}
        .Check(Ulimit),
    Key{"container.default_sysctls", At<&C::container, &C::Container::default_sysctls>,
        "Sysctls of each pod that does not set them itself, as \"net.ipv4.ip_unprivileged_port_start=0\". Passed over "
        "where the "
        "pod has not got the namespace; net.ipv4.ping_group_range also in a user namespace, which has not all groups."}
        .Check(Annotation),
    Key{"container.device_ownership_from_security_context",
        At<&C::container, &C::Container::device_ownership_from_security_context>,
        "Devices of a request belong to run_as_user and run_as_group instead of the host's owner."},
    Key{"container.clamp_oom_score_adj", At<&C::container, &C::Container::clamp_oom_score_adj>,
        "Raise a wanted oom_score_adj to what berthd may set, instead of failing."},
    Key{"container.shm_size", At<&C::container, &C::Container::shm_size>, "Size of a pod's /dev/shm."}.Range(4096,
                                                                                                             kTiB),
    Key{"container.log_line_limit", At<&C::container, &C::Container::log_line_limit>,
        "Longest piece of a line in one record of the log; longer lines are cut into several."}
        .Range(256, 32768),
    Key{"container.create_timeout", At<&C::container, &C::Container::create_timeout>,
        "Time limit of making a pod or a container, after which its name is free again."}
        .Range(kSecond, kHour),
    Key{"container.drain_timeout", At<&C::container, &C::Container::drain_timeout>,
        "How long output is read after a container's end while processes it left behind hold it."}
        .Range(0, 10 * kMinute),
    Key{"container.exec_drain_timeout", At<&C::container, &C::Container::exec_drain_timeout>,
        "The same after the end of an exec."}
        .Range(0, 10 * kMinute),
    Key{"container.exec_output_limit", At<&C::container, &C::Container::exec_output_limit>,
        "Bytes kept of an ExecSync's stdout and stderr together; a reply must fit the client's 16MiB."}
        .Range(4096, kGiB),

    Key{"streaming.address", At<&C::streaming, &C::Streaming::address>,
        "IP address that exec, attach and port-forward are served at; the kubelet connects to it."}
        .Check(NotEmpty),
    Key{"streaming.port", At<&C::streaming, &C::Streaming::port>, "Its port. 0: any that is free."}.Range(0, 65535),
    Key{"streaming.tls_cert", At<&C::streaming, &C::Streaming::tls_cert>,
        "Certificate chain (PEM) that it is served with. Empty: plain HTTP. Read anew when the file changes."}
        .Check(AbsoluteOrEmpty),
    Key{"streaming.tls_key", At<&C::streaming, &C::Streaming::tls_key>, "The certificate's key."}.Check(
        AbsoluteOrEmpty),
    Key{"streaming.tls_ca", At<&C::streaming, &C::Streaming::tls_ca>,
        "Whose certificates clients must have. Empty: clients need none."}
        .Check(AbsoluteOrEmpty),
    Key{"streaming.idle_timeout", At<&C::streaming, &C::Streaming::idle_timeout>,
        "A connection over which nothing goes for so long is closed."}
        .Range(100, 30 * 24 * kHour),
    Key{"streaming.creation_timeout", At<&C::streaming, &C::Streaming::creation_timeout>,
        "Within this time a client must have sent its request and opened its streams."}
        .Range(100, kHour),

    Key{"metrics.address", At<&C::metrics, &C::Metrics::address>,
        "IP address at which GET /metrics answers with berthd's own figures (Prometheus text format), or off."}
        .Check(AddressOrOff),
    Key{"metrics.port", At<&C::metrics, &C::Metrics::port>,
        "Its port. One that is taken is told in the log and in Status."}
        .Range(1, 65535),
    Key{"metrics.socket", At<&C::metrics, &C::Metrics::socket>,
        "Path of a Unix socket (mode 0660) to serve them at instead of address and port."}
        .Check(AbsoluteOrEmpty),
    Key{"metrics.tls_cert", At<&C::metrics, &C::Metrics::tls_cert>,
        "Certificate chain (PEM) that they are served with. Empty: plain HTTP. Read anew when the file changes."}
        .Check(AbsoluteOrEmpty),
    Key{"metrics.tls_key", At<&C::metrics, &C::Metrics::tls_key>, "The certificate's key."}.Check(AbsoluteOrEmpty),
    Key{"metrics.tls_ca", At<&C::metrics, &C::Metrics::tls_ca>,
        "Whose certificates clients must have. Empty: clients need none."}
        .Check(AbsoluteOrEmpty),

    Key{"tracing.endpoint", At<&C::tracing, &C::Tracing::endpoint>,
        "URL of an OpenTelemetry collector that spans are posted to (OTLP/HTTP, as http://127.0.0.1:4318/v1/traces). "
        "Empty: none."}
        .Check(UrlOrEmpty),

    Key{"limits.lifecycle_threads", At<&C::limits, &C::Limits::lifecycle_threads>,
        "Calls that change pods and containers, at once."}
        .Range(1, 4096),
    Key{"limits.operation_threads", At<&C::limits, &C::Limits::operation_threads>,
        "Operations that such calls wait for, at once."}
        .Range(1, 4096),
    Key{"limits.stop_threads", At<&C::limits, &C::Limits::stop_threads>, "Containers being stopped, at once."}.Range(
        1, 65536),
    Key{"limits.exec_threads", At<&C::limits, &C::Limits::exec_threads>, "ExecSync calls, at once."}.Range(1, 4096),
    Key{"limits.stream_threads", At<&C::limits, &C::Limits::stream_threads>,
        "Starts of Exec and Attach, and connections of PortForward, at once."}
        .Range(1, 4096),
    Key{"limits.pull_threads", At<&C::limits, &C::Limits::pull_threads>,
        "PullImage calls, at once, those that join another's included."}
        .Range(1, 4096),
    Key{"limits.removal_threads", At<&C::limits, &C::Limits::removal_threads>, "Trees of files being deleted, at once."}
        .Range(1, 256),
};

const Key kRuntimeKeys[] = {
    Key{"path", At<&Runtime::path>, "Binary. Empty: the handler's name, looked up in the system's folders."}.Check(
        AbsoluteOrEmpty),
    Key{"root", At<&Runtime::root>, "Folder of the runtime's own state. Empty: <run_root>/oci/<handler>."}.Check(
        AbsoluteOrEmpty),
    Key{"annotations", At<&Runtime::annotations>,
        "Annotations for every config.json, for the runtime to read: key=value."}
        .Check(Annotation),
    Key{"allowed_annotations", At<&Runtime::allowed_annotations>,
        "Annotations of pods and containers that go into config.json; \"*\" at the end stands for anything. Whoever "
        "may make "
        "pods decides on them."}
        .Check(NotEmpty),
    Key{"privileged_without_host_devices", At<&Runtime::privileged_without_host_devices>,
        "Privileged containers get no devices of the host but those they name."},
    Key{"systemd_containers", At<&Runtime::systemd_containers>,
        "A container that starts systemd, or what is called /sbin/init, gets what that needs: its own cgroup to write "
        "to (cgroup v2 "
        "only), file systems in memory on /run, /run/lock, /tmp and /var/log/journal."},
};

const Key kRegistryKeys[] = {
    Key{"mirrors", At<&Registry::mirrors>, "URLs asked in this order before the registry itself."}.Check(Url),
    Key{"insecure", At<&Registry::insecure>, "Plain HTTP and unverified TLS are allowed. Never needed for loopback."},
};

}  // namespace

std::span<const Key> ConfigKeys() {
  return kConfigKeys;
}
std::span<const Key> ItemKeys(const std::map<std::string, Runtime>*) {
  return kRuntimeKeys;
}
std::span<const Key> ItemKeys(const std::map<std::string, Registry>*) {
  return kRegistryKeys;
}

}  // namespace berth::config
