#include "server/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <set>
#include <thread>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <grpcpp/grpcpp.h>
#include <spdlog/spdlog.h>

#include "base/beside.h"
#include "image/auth_files.h"
#include "kernel/boot.h"
#include "kernel/limits.h"
#include "kernel/user_namespace.h"
#include "network/conf_watcher.h"
#include "network/torn_reservations.h"
#include "server/event_reply.h"
#include "server/executors.h"
#include "server/figures.h"
#include "server/host.h"
#include "server/import_folder.h"
#include "server/pull_progress.h"
#include "server/runtime_service.h"
#include "server/stream_callbacks.h"
#include "server/streaming/server.h"
#include "server/telemetry/measured.h"
#include "server/telemetry/metrics_server.h"

namespace berth::server {

namespace asio = boost::asio;
using base::Code;
using base::Fail;

namespace {

// For calls in flight. Idle connections of clients that stay are closed only at its end, so it is short.
constexpr auto kShutdownTime = std::chrono::milliseconds(500);
// Before the first pod can be added: what the plugins do not get done in it is tried at the next start.
constexpr auto kGcTime = std::chrono::seconds(3);
constexpr auto kUndoTime = std::chrono::minutes(1);
constexpr int kUndoers = 4;
constexpr auto kFeaturesTime = std::chrono::seconds(2);
constexpr auto kDirtyRetry = std::chrono::seconds(10);
constexpr auto kSamplePeriod = std::chrono::seconds(10);
constexpr size_t kMaxProblems = 100;

base::Result<base::UniqueFd> LockStateRoot(const base::Path& root) {
  ASSIGN_OR_RETURN(base::UniqueFd lock, base::Open(root / "lock", O_RDWR | O_CREAT, 0600));
  if (flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno == EWOULDBLOCK) return Fail(Code::kFailedPrecondition, "another berthd works on ", root.native());
  return base::FailErrno(errno, "lock ", (root / "lock").native());
}

base::Path WithoutLinks(const base::Path& path) {
  std::error_code error;
  base::Path real = std::filesystem::canonical(path, error);
  return error ? path : real;
}

// "credential-helpers" of registries.conf says who is asked and when: the files are one of them.
image::CredentialSource CredentialSourceOf(const config::Config::Image& config, std::shared_ptr<image::RegistryFiles> files) {
  auto auth = std::make_shared<const image::AuthFiles>(image::AuthFiles::Options{
      .files = {config.auth_files.begin(), config.auth_files.end()}, .helper_timeout = config.auth_helper_timeout, .program_folders = {}});
  return [auth, files](std::string_view host, std::string_view repository, const base::Context& context) -> base::Result<image::AuthConfig> {
    ASSIGN_OR_RETURN(const auto conf, files->Conf());
    std::vector<std::string> order = conf->credential_helpers;
    if (order.empty()) order = {"containers-auth.json"};
    for (const std::string& name : order) {
      auto found = name == "containers-auth.json" ? auth->Find(host, repository, context) : auth->AskHelper(name, host, context);
      if (!found || !found->empty()) return found;
    }
    return image::AuthConfig();
  };
}

image::RegistryOptions RegistryOptionsOf(const config::Config::Image& config) {
  image::RegistryOptions out;
  out.files = std::make_shared<image::RegistryFiles>(image::RegistryFiles::Options{
      .host_folders = {config.certificate_dirs.begin(), config.certificate_dirs.end()}, .registries_conf = config.registries_conf});
  out.credentials = CredentialSourceOf(config, out.files);
  out.http.certificate_folders.assign(config.certificate_dirs.begin(), config.certificate_dirs.end());
  out.http.connect_timeout = config.connect_timeout;
  out.http.stall_window = config.stall_window;
  out.http.stall_bytes = static_cast<int64_t>(config.stall_bytes.bytes);
  out.signature_policy = config.signature_policy;
  out.attempts = static_cast<int>(config.attempts);
  out.mirror_attempts = static_cast<int>(config.mirror_attempts);
  for (const auto& [host, registry] : config.registries) {
    image::RegistryConfig& mapped = out.registries[host];
    mapped.insecure = registry.insecure;
    for (const std::string& mirror : registry.mirrors) mapped.mirrors.push_back({.url = mirror, .insecure = registry.insecure});
  }
  return out;
}

network::IpPreference IpPreferenceOf(config::IpPreference preference) {
  switch (preference) {
    case config::IpPreference::kIpv4: return network::IpPreference::kIpv4;
    case config::IpPreference::kIpv6: return network::IpPreference::kIpv6;
    case config::IpPreference::kCni: return network::IpPreference::kCni;
  }
  return network::IpPreference::kIpv4;
}

network::Options NetworkOptionsOf(const config::Config& config, telemetry::Metrics& metrics) {
  network::Options out;
  out.conf_dir = config.network.conf_dir;
  out.bin_dirs.assign(config.network.bin_dirs.begin(), config.network.bin_dirs.end());
  out.cache_dir = config.network.cache_dir.empty() ? config.state_root / "cni" : config.network.cache_dir;
  out.plugin_timeout = config.network.plugin_timeout;
  out.default_network = config.network.default_network;
  out.ip_preference = IpPreferenceOf(config.network.ip_preference);
  out.runner = telemetry::Measured(std::make_unique<network::ProcessRunner>(out.bin_dirs), metrics);
  return out;
}

// As OpenTelemetry's conventions name them.
std::vector<std::pair<std::string, std::string>> TraceResource() {
  char host[256] = "";
  (void)gethostname(host, sizeof host - 1);
  return {{"service.name", "berthd"}, {"service.version", BERTH_VERSION}, {"host.name", host}};
}

// Of every service that is served here.
std::vector<std::string> MethodNames() {
  std::vector<std::string> out;
  for (const auto* file : {cri::VersionRequest::descriptor()->file(), berth::v1::LoadImagesRequest::descriptor()->file()}) {
    for (int i = 0; i < file->service_count(); ++i) {
      for (int j = 0; j < file->service(i)->method_count(); ++j) out.push_back(file->service(i)->method(j)->name());
    }
  }
  return out;
}

}  // namespace

// In the order of making; destroyed backwards, executors (whose threads use everything) first of all in ~Daemon.
struct Daemon::Parts {
  explicit Parts(config::Config given) : config(std::move(given)) {}

  base::Status Make();
  streaming::Server::Options StreamingOptions();
  void ServeMetrics();
  base::Status Restore();
  void Watch();
  void ArmLeftovers();
  void RetryDirty();
  void Sample();
  void Report(const std::string& problem);

  config::Config config;
  telemetry::Metrics metrics{MethodNames()};
  std::unique_ptr<telemetry::Tracer> tracer;  // where an endpoint is configured
  base::UniqueFd lock;
  asio::io_context loop;
  std::unique_ptr<Executors> executors;
  std::unique_ptr<kernel::CgroupTree> cgroups;
  const kernel::Systemd systemd_manager;
  std::unique_ptr<container::CdiDevices> cdi;
  std::unique_ptr<container::HookFolders> hooks;
  container::ApparmorDefault apparmor{FindInstalled("apparmor_parser")};
  std::unique_ptr<kernel::ForeignPaths> paths;
  std::unique_ptr<kernel::ProjectQuota> quota;  // where the state root's file system counts by project
  container::Runtimes runtimes;
  std::vector<base::Beside> features;  // that the runtimes and the kernel are being asked for
  std::unique_ptr<image::Store> images;
  std::unique_ptr<image::Puller> puller;
  std::unique_ptr<ImportFolder> imports;
  std::unique_ptr<network::Network> network;
  std::unique_ptr<network::ConfWatcher> conf_watcher;
  std::unique_ptr<asio::posix::stream_descriptor> conf_event;
  state::Undoers undoers;
  std::unique_ptr<state::LeftoverQueue> leftovers;
  std::atomic<uint64_t> repaired = 0;  // leftovers, since the start
  std::unique_ptr<asio::steady_timer> leftover_timer;
  std::unique_ptr<asio::steady_timer> dirty_timer;
  std::unique_ptr<asio::steady_timer> sample_timer;
  std::unique_ptr<stats::Collector> stats;
  std::unique_ptr<state::Timelines> timelines;
  std::unique_ptr<Events> events;
  std::unique_ptr<container::Containers> containers;
  std::unique_ptr<sandbox::Sandboxes> sandboxes;
  base::Guarded<std::vector<std::string>> problems;
  std::unique_ptr<streaming::Server> streaming;
  std::unique_ptr<Services> services;
  std::unique_ptr<telemetry::MetricsServer> metrics_server;
  bool same_boot = false;
  // Asked beside the runtimes' features.
  bool user_namespaces = false;
  bool maps_owners = false;  // of the image store's folder
  std::string boot_id;
};

void Daemon::Parts::Report(const std::string& problem) {
  spdlog::warn("problem={}", problem);
  problems.With([&](std::vector<std::string>& all) {
    if (all.size() < kMaxProblems) all.push_back(problem);
  });
}

base::Status Daemon::Parts::Make() {
  for (const base::Path& folder : {config.state_root, config.run_root, config.state_root / "trash"}) {
    RETURN_IF_ERROR(base::MakeDirs(folder, 0711));
  }
  ASSIGN_OR_RETURN(lock, LockStateRoot(config.state_root));
  ASSIGN_OR_RETURN(boot_id, kernel::BootId());
  const auto recorded = base::ReadFile(config.run_root / "boot_id", 256);
  same_boot = recorded && *recorded == boot_id;

  if (!config.tracing.endpoint.empty()) {
    tracer = std::make_unique<telemetry::Tracer>(telemetry::Tracer::Options{.endpoint = config.tracing.endpoint, .resource = TraceResource()});
  }
  executors = std::make_unique<Executors>(config.limits);
  ASSIGN_OR_RETURN(kernel::CgroupTree tree, kernel::CgroupTree::Detect());
  cgroups = std::make_unique<kernel::CgroupTree>(std::move(tree));
  const bool systemd = UsesSystemd(config.cgroup.driver, *cgroups);
  ASSIGN_OR_RETURN(const Programs programs, FindPrograms(config.helpers));
  paths = std::make_unique<kernel::ForeignPaths>(kernel::ForeignPaths::Options{
      .helper = programs.helper, .deadline = config.helpers.path_timeout, .cap = static_cast<size_t>(config.helpers.max_stuck)});
  if (auto counting = kernel::ProjectQuota::Open(config.state_root)) quota = *std::move(counting);
  else spdlog::info("writable_layers=walked reason=\"{}\"", counting.error().Text());
  ASSIGN_OR_RETURN(runtimes, FindRuntimes(config, programs.helper, systemd));
  ASSIGN_OR_RETURN(const std::string default_runtime, DefaultRuntime(config, runtimes));
  for (auto& [name, runtime] : runtimes) runtime = telemetry::Measured(std::move(runtime), metrics);
  // Asked beside all that follows. One that does not answer is asked again by the calls that need it, never by Status.
  for (const auto& [name, runtime] : runtimes) {
    features.emplace_back(executors->query, [runtime]() -> base::Status {
      RETURN_IF_ERROR(runtime->GetFeatures(base::Context().WithTimeout(kFeaturesTime)));
      return {};
    });
  }

  image::Store::Options store{.folder = config.state_root / "images", .pinned = config.image.pinned};
  store.limits.file_bytes = config.image.max_layer_size.bytes;
  store.limits.entries = static_cast<uint64_t>(config.image.max_layer_entries);
  // How large a window may be is the budget's to say.
  store.limits.decompress.zstd_window_log = 31;
  store.limits.decompress.windows = image::WindowBudget::Make(config.image.window_memory.bytes);
  image::RegistryOptions registry = RegistryOptionsOf(config.image);
  store.candidates = [files = registry.files](std::string_view text) { return files->Candidates(text); };
  ASSIGN_OR_RETURN(images, image::Store::Open(std::move(store)));
  for (const image::StoreProblem& problem : images->problems()) Report(base::Cat("image store: ", problem.name, ": ", problem.what));
  features.emplace_back(executors->query, [this, folder = config.state_root / "images", helper = programs.helper]() -> base::Status {
    ASSIGN_OR_RETURN(maps_owners, kernel::CanMountMapped(folder, helper), "user namespaces");
    user_namespaces = true;
    if (!maps_owners) spdlog::info("images=copied_for_user_namespaces folder={}", folder.native());
    return {};
  });
  puller = std::make_unique<image::Puller>(image::Puller::Options{.store = images.get(),
                                                                  .registry = std::move(registry),
                                                                  .parallel_layers = static_cast<size_t>(config.image.parallel_layers),
                                                                  .pulls = static_cast<size_t>(config.image.parallel_pulls),
                                                                  .ended = [this](const image::PullEnd& end) { metrics.PullEnded(end); }});
  imports = std::make_unique<ImportFolder>(ImportFolder::Options{
      .folder = config.image.import_dir.empty() ? config.state_root / "import" : config.image.import_dir,
      .record = config.state_root / "images/imported.json",
      .puller = puller.get(),
      .store = images.get(),
      .executor = &executors->pull,
      .report = [this](const std::string& problem) { Report(problem); }});
  ASSIGN_OR_RETURN(network, network::Network::Open(NetworkOptionsOf(config, metrics)));

  undoers = container::ContainerUndoers(runtimes, *cgroups, systemd_manager);
  undoers.merge(sandbox::SandboxUndoers(*network, *cgroups, systemd_manager));
  leftover_timer = std::make_unique<asio::steady_timer>(loop);
  dirty_timer = std::make_unique<asio::steady_timer>(loop);
  sample_timer = std::make_unique<asio::steady_timer>(loop);
  state::LeftoverQueue::Options queue{.undoers = undoers};
  queue.changed = [this] { asio::post(loop, [this] { ArmLeftovers(); }); };
  leftovers = std::make_unique<state::LeftoverQueue>(std::move(queue));

  timelines = std::make_unique<state::Timelines>(config.run_root / "timelines",
                                                 [this](const state::OperationRecord& record) {
                                                   metrics.OperationEnded(record);
                                                   if (tracer) tracer->OperationEnded(record);
                                                 });
  ASSIGN_OR_RETURN(const kernel::CapabilitySets capabilities, kernel::OwnCapabilities());
  cdi = std::make_unique<container::CdiDevices>(std::vector<base::Path>(config.container.cdi_dirs.begin(), config.container.cdi_dirs.end()));
  hooks = std::make_unique<container::HookFolders>(std::vector<base::Path>(config.container.hooks_dirs.begin(), config.container.hooks_dirs.end()));
  container::Parts container_parts{.state_folder = config.state_root / "containers",
                                   .run_folder = config.run_root / "containers",
                                   .trash_folder = config.state_root / "trash",
                                   .monitor = programs.monitor,
                                   .monitor_parent = config.cgroup.monitor_parent,
                                   .boot_id = boot_id,
                                   .same_boot = same_boot,
                                   .systemd_cgroup = systemd};
  container_parts.spec.default_capabilities = config.container.default_capabilities;
  container_parts.spec.hooks = hooks.get();
  container_parts.spec.own_capabilities = capabilities.bounding;
  container_parts.spec.clamp_oom_score_adj = config.container.clamp_oom_score_adj;
  container_parts.spec.resources = ResourceOptionsOf(*cgroups, config.container);
  container_parts.spec.rlimits = RlimitsOf(config.container.default_ulimits);
  container_parts.spec.device_owner_from_security_context = config.container.device_ownership_from_security_context;
  container_parts.cdi = cdi.get();
  container_parts.handlers = HandlersOf(config.runtimes);
  container_parts.has_criu = [] { return !FindInstalled("criu").empty(); };
  container_parts.spec.mounts.cgroup_v2 = container_parts.spec.resources.cgroup_v2;
  container_parts.spec.mounts.own_roots = {WithoutLinks(config.state_root), WithoutLinks(config.run_root)};
  container_parts.spec.apparmor_default_loads = apparmor.can_load();
  if (container::HasApparmor() && !apparmor.can_load()) {
    Report("apparmor: apparmor_parser is not installed: containers that ask for no profile run unconfined");
  }
  container_parts.log_line_limit = static_cast<uint32_t>(config.container.log_line_limit.bytes);
  container_parts.drain = config.container.drain_timeout;
  container_parts.exec_drain = config.container.exec_drain_timeout;
  container_parts.create_timeout = config.container.create_timeout;
  container_parts.exec_output_limit = config.container.exec_output_limit.bytes;
  container_parts.cgroups = cgroups.get();
  container_parts.systemd = &systemd_manager;
  container_parts.apparmor = &apparmor;
  container_parts.paths = paths.get();
  container_parts.quota = quota.get();
  container_parts.images = images.get();
  container_parts.leftovers = leftovers.get();
  container_parts.undoers = &undoers;
  container_parts.timelines = timelines.get();
  container_parts.runtimes = &runtimes;
  container_parts.work = &executors->work;
  container_parts.disk = &executors->disk;
  container_parts.stops = &executors->stops;
  container_parts.removal = &executors->removal;
  container_parts.loop = &loop;
  events = std::make_unique<Events>(
      Events::Options{.describe = [this](const Change& change, cri::ContainerEventResponse& out) { DescribeEvent(*services, change, out); },
                      .executor = &executors->query});
  container_parts.changed = [this](const auto& before, const auto& after) { events->OnContainer(before, after); };
  containers = std::make_unique<container::Containers>(std::move(container_parts));

  sandboxes = std::make_unique<sandbox::Sandboxes>(sandbox::Parts{.state_folder = config.state_root / "sandboxes",
                                                                  .run_folder = config.run_root / "sandboxes",
                                                                  .netns_folder = config.network.netns_dir,
                                                                  .pause = programs.pause,
                                                                  .helper = programs.helper,
                                                                  .images_folder = config.state_root / "images",
                                                                  .maps_owners = [this] { return maps_owners; },
                                                                  .boot_id = boot_id,
                                                                  .same_boot = same_boot,
                                                                  .systemd_cgroup = systemd,
                                                                  .shm_size = config.container.shm_size.bytes,
                                                                  .default_runtime = default_runtime,
                                                                  .run_timeout = config.container.create_timeout,
                                                                  .cgroups = cgroups.get(),
                                                                  .systemd = &systemd_manager,
                                                                  .paths = paths.get(),
                                                                  .network = network.get(),
                                                                  .containers = containers.get(),
                                                                  .runtimes = &runtimes,
                                                                  .leftovers = leftovers.get(),
                                                                  .undoers = &undoers,
                                                                  .timelines = timelines.get(),
                                                                  .work = &executors->pod_work,
                                                                  .end_work = &executors->pod_end_work,
                                                                  .disk = &executors->disk,
                                                                  .loop = &loop,
                                                                  .changed = [this](const auto& before, const auto& after) { events->OnSandbox(before, after); },
                                                                  .ended = [this](const std::string& id) {
                                                                    if (streaming) streaming->ClosePod(id);
                                                                  }});
  stats = std::make_unique<stats::Collector>(stats::Collector::Options{.cgroups = cgroups.get(), .quota = quota.get()});
  ASSIGN_OR_RETURN(streaming, streaming::Server::Start(StreamingOptions()));
  constexpr int kSysResource = 24;
  services = std::make_unique<Services>(Services{.config = config,
                                                 .sandboxes = *sandboxes,
                                                 .containers = *containers,
                                                 .images = *images,
                                                 .puller = *puller,
                                                 .network = *network,
                                                 .streaming = *streaming,
                                                 .stats = *stats,
                                                 .runtimes = runtimes,
                                                 .timelines = *timelines,
                                                 .default_runtime = default_runtime,
                                                 .systemd_cgroup = systemd,
                                                 .clamped = (capabilities.effective >> kSysResource & 1) == 0,
                                                 .problems = [this] { return problems.With([](const auto& all) { return all; }); }});
  if (services->clamped) spdlog::warn("oom_score_adj=clamped reason=\"the daemon lacks CAP_SYS_RESOURCE\"");
  return {};
}

streaming::Server::Options Daemon::Parts::StreamingOptions() {
  streaming::Server::Options out{.address = config.streaming.address,
                                 .port = static_cast<uint16_t>(config.streaming.port),
                                 .certificate = config.streaming.tls_cert,
                                 .key = config.streaming.tls_key,
                                 .client_ca = config.streaming.tls_ca,
                                 .idle = config.streaming.idle_timeout,
                                 .creation = config.streaming.creation_timeout,
                                 .drain = config.container.exec_drain_timeout};
  out.callbacks = StreamCallbacks(*containers, *sandboxes, executors->streams);
  out.work = &executors->streams;
  out.report = [this](const std::string& problem) { Report(problem); };
  return out;
}

// The pods do not need it: a port that is taken, or a certificate that cannot be read, is told and stops nothing.
void Daemon::Parts::ServeMetrics() {
  const config::Config::Metrics& wanted = config.metrics;
  if (wanted.address == "off" && wanted.socket.empty()) return;
  auto server = telemetry::MetricsServer::Start(
      loop, {.listen = {.address = wanted.address,
                        .port = static_cast<uint16_t>(wanted.port),
                        .socket = wanted.socket,
                        .tls = {.certificate = wanted.tls_cert, .key = wanted.tls_key, .client_ca = wanted.tls_ca},
                        .report = [this](const std::string& problem) { Report(problem); }},
             .text = [this] { return metrics.Text(AllFigures(*services, {.waiting = leftovers->size(), .repaired = repaired}, tracer.get())); },
             .work = &executors->query});
  if (server) metrics_server = *std::move(server);
  else Report(server.error().Text());
}

base::Status Daemon::Parts::Restore() {
  const auto report = [this](const std::string& problem) { Report(problem); };
  RETURN_IF_ERROR(containers->Recover(report), "restore containers");
  RETURN_IF_ERROR(sandboxes->Recover(report), "restore sandboxes");
  images->Collect();
  if (const auto loaded = network->config(); !same_boot && loaded->list) {
    if (auto torn = network::ForgetTornReservations(*loaded->list); !torn) report("network: " + torn.error().message);
    else if (*torn > 0) report(base::Cat("network: ", *torn, " reservations of addresses were cut short with the node and are removed"));
  }
  const auto known = [this](const std::string& id) { return containers->Find(id).has_value() || sandboxes->Find(id).has_value(); };
  if (base::Status opened = timelines->Open(known); !opened) Report("timelines are not kept: " + opened.error().Text());
  // From here on the run root belongs to this boot. Before, a crash must find it as it was.
  if (base::Status written = same_boot ? base::Status() : base::WriteFile(config.run_root / "boot_id", boot_id); !written) {
    Report("the next start will take this boot for another: " + written.error().Text());
  }
  // Sandboxes that are known see to their own attachments.
  std::set<std::string> valid;
  for (const auto& sandbox : sandboxes->List()) valid.insert(sandbox->id);
  if (base::Status cleaned = network->Gc(valid, base::Context().WithTimeout(kGcTime)); !cleaned) Report("network: " + cleaned.error().message);
  for (base::Beside& asked : features) {
    if (base::Status told = asked.Join(); !told) Report(told.error().Text());
  }
  features.clear();
  services->user_namespaces = user_namespaces;
  return {};
}

void Daemon::Parts::Watch() {
  if (auto watching = imports->Start(loop); !watching) Report("import folder: " + watching.error().message);
  auto watcher = network::ConfWatcher::Make({.conf_dir = config.network.conf_dir,
                                             .bin_dirs = {config.network.bin_dirs.begin(), config.network.bin_dirs.end()},
                                             .on_change = [this] { network->Reload(); }});
  if (!watcher) {
    Report("network: changes of the configuration are not noticed: " + watcher.error().message);
    return;
  }
  conf_watcher = *std::move(watcher);
  conf_event = std::make_unique<asio::posix::stream_descriptor>(loop, fcntl(conf_watcher->fd(), F_DUPFD_CLOEXEC, 0));
  const auto wait = [this](const auto& self) -> void {
    conf_event->async_wait(asio::posix::stream_descriptor::wait_read, [this, self](const boost::system::error_code& error) {
      if (error) return;
      conf_watcher->Process();
      self(self);
    });
  };
  wait(wait);
}

void Daemon::Parts::ArmLeftovers() {
  const base::TimePoint due = leftovers->NextDue();
  if (due == base::TimePoint::max()) return;
  leftover_timer->expires_at(due);
  leftover_timer->async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    const auto run = [this] {
      repaired += leftovers->RunDue(kUndoTime);
      asio::post(loop, [this] { ArmLeftovers(); });
    };
    for (int i = 0; i < kUndoers; ++i) {
      if (!executors->leftovers.Submit(run)) break;
    }
  });
}

void Daemon::Parts::RetryDirty() {
  dirty_timer->expires_after(kDirtyRetry);
  dirty_timer->async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    if (containers->dirty() + sandboxes->dirty() > 0) {
      (void)executors->query.Submit([this] {
        const size_t left = containers->RetryDirty() + sandboxes->RetryDirty();
        if (left > 0) spdlog::warn("records={} problem=\"cannot be written; kept in memory and tried again\"", left);
      });
    }
    RetryDirty();
  });
}

void Daemon::Parts::Sample() {
  (void)executors->query.Submit([this] { SampleStats(*services); });
  sample_timer->expires_after(kSamplePeriod);
  sample_timer->async_wait([this](const boost::system::error_code& error) {
    if (!error) Sample();
  });
}

base::Result<std::unique_ptr<Daemon>> Daemon::Make(config::Config config) {
  auto parts = std::make_unique<Parts>(std::move(config));
  RETURN_IF_ERROR(parts->Make());
  RETURN_IF_ERROR(parts->Restore());
  return std::unique_ptr<Daemon>(new Daemon(std::move(parts)));
}

Daemon::Daemon(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Daemon::~Daemon() {
  if (!parts_) return;
  if (parts_->imports) parts_->imports->Stop();
  parts_->executors.reset();  // a daemon that never served
}

base::Status Daemon::Serve(std::function<void()> hangup) {
  Parts& parts = *parts_;
  const Telemetry telemetry{.metrics = &parts.metrics, .tracer = parts.tracer.get()};
  RuntimeService runtime_service(*parts.services, *parts.executors, telemetry, *parts.events, parts.loop);
  ImageService image_service(*parts.services, *parts.executors, telemetry);
  BerthService berth_service(*parts.images, *parts.puller, parts.executors->pull, parts.loop, telemetry);
  const base::Path& socket = parts.config.grpc.socket;
  RETURN_IF_ERROR(base::MakeDirs(socket.parent_path(), 0711));
  RETURN_IF_ERROR(base::RemoveFile(socket));  // the lock says that nobody else listens there

  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(static_cast<int>(parts.config.grpc.max_message.bytes));
  builder.SetMaxSendMessageSize(static_cast<int>(parts.config.grpc.max_message.bytes));
  builder.AddListeningPort("unix://" + socket.native(), grpc::InsecureServerCredentials());
  builder.RegisterService(&runtime_service);
  builder.RegisterService(&image_service);
  builder.RegisterService(&berth_service);
  const mode_t mask = umask(0077);  // nobody may connect before the mode is right
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  umask(mask);
  if (!server) return Fail(Code::kUnavailable, "cannot listen on ", socket.native());
  if (chown(socket.c_str(), 0, static_cast<gid_t>(parts.config.grpc.socket_gid)) != 0 ||
      chmod(socket.c_str(), parts.config.grpc.socket_mode.bits) != 0) {
    return base::FailErrno(errno, "set the owner and mode of ", socket.native());
  }

  asio::signal_set signals(parts.loop, SIGTERM, SIGINT);
  signals.async_wait([&](const boost::system::error_code&, int) { parts.loop.stop(); });
  asio::signal_set hangups(parts.loop, SIGHUP);
  const auto await_hangup = [&](const auto& self) -> void {
    hangups.async_wait([&, self](const boost::system::error_code& error, int) {
      if (error) return;
      hangup();
      self(self);
    });
  };
  await_hangup(await_hangup);
  parts.Watch();
  parts.ServeMetrics();
  parts.ArmLeftovers();
  parts.RetryDirty();
  parts.Sample();
  spdlog::info("berthd={} socket={} ready sandboxes={} containers={} images={}", BERTH_VERSION, socket.native(),
               parts.sandboxes->List().size(), parts.containers->List().size(), parts.images->List()->size());
  sd_notify(0, "READY=1");
  const auto keep_running = asio::make_work_guard(parts.loop);
  parts.loop.run();

  spdlog::info("berthd=stopping");
  sd_notify(0, "STOPPING=1");
  parts.metrics_server.reset();  // before what it looks at
  // Followers of pulls are ended on the loop, so it goes on while the server shuts down.
  parts.loop.restart();
  std::thread loop([&] { parts.loop.run(); });
  parts.streaming->Stop();
  parts.events->End();
  server->Shutdown(std::chrono::system_clock::now() + kShutdownTime);
  parts.imports->Stop();
  parts.containers->End();
  parts.sandboxes->End();
  parts.loop.stop();
  loop.join();
  parts.executors.reset();  // nobody hands them work any more: calls in flight end before the server does
  return base::RemoveFile(socket);
}

}  // namespace berth::server
