// What the daemon is made of, part by part.
#include <filesystem>

#include <spdlog/spdlog.h>
#include <boost/asio/post.hpp>

#include "kernel/boot.h"
#include "kernel/user_namespace.h"
#include "server/daemon_parts.h"
#include "server/event_reply.h"
#include "server/stream_callbacks.h"
#include "server/telemetry/measured.h"
#include "state/root_lock.h"

namespace berth::server {

using base::Code;
using base::Fail;

namespace {

constexpr auto kFeaturesTime = std::chrono::seconds(2);

base::Path WithoutLinks(const base::Path& path) {
  std::error_code error;
  base::Path real = std::filesystem::canonical(path, error);
  return error ? path : real;
}

}  // namespace

base::Status Daemon::Parts::Make() {
  RETURN_IF_ERROR(MakeBase());
  RETURN_IF_ERROR(MakeRuntimes());
  RETURN_IF_ERROR(MakeImages());
  ASSIGN_OR_RETURN(network, network::Network::Open(NetworkOptionsOf(config, metrics)));
  MakeLeftovers();
  RETURN_IF_ERROR(MakeContainers());
  RETURN_IF_ERROR(MakeSandboxes());
  return MakeServices();
}

base::Status Daemon::Parts::MakeBase() {
  for (const base::Path& folder : {config.state_root, config.run_root, config.state_root / "trash"}) {
    RETURN_IF_ERROR(base::MakeDirs(folder, 0711));
  }
  ASSIGN_OR_RETURN(lock, state::LockRoot(config.state_root));
  ASSIGN_OR_RETURN(boot_id, kernel::BootId());
  const auto recorded = base::ReadFile(config.run_root / "boot_id", 256);
  same_boot = recorded && *recorded == boot_id;

  if (!config.tracing.endpoint.empty()) {
    tracer = std::make_unique<telemetry::Tracer>(
        telemetry::Tracer::Options{.endpoint = config.tracing.endpoint, .resource = TraceResource()});
  }
  executors = std::make_unique<Executors>(config.limits);
  ASSIGN_OR_RETURN(kernel::CgroupTree tree, kernel::CgroupTree::Detect());
  cgroups = std::make_unique<kernel::CgroupTree>(std::move(tree));
  systemd = UsesSystemd(config.cgroup.driver, *cgroups);
  ASSIGN_OR_RETURN(programs, FindPrograms(config.helpers));
  paths = std::make_unique<kernel::ForeignPaths>(
      kernel::ForeignPaths::Options{.helper = programs.helper,
                                    .deadline = config.helpers.path_timeout,
                                    .cap = static_cast<size_t>(config.helpers.max_stuck)});
  if (auto counting = kernel::ProjectQuota::Open(config.state_root))
    quota = *std::move(counting);
  else
    spdlog::info("writable_layers=walked reason=\"{}\"", counting.error().Text());
  return {};
}

base::Status Daemon::Parts::MakeRuntimes() {
  ASSIGN_OR_RETURN(runtimes, FindRuntimes(config, programs.helper, systemd));
  ASSIGN_OR_RETURN(default_runtime, DefaultRuntime(config, runtimes));
  for (auto& [name, runtime] : runtimes) runtime = telemetry::Measured(std::move(runtime), metrics);
  // Asked beside all that follows. One that does not answer is asked again by the calls that need it, never by Status.
  for (const auto& [name, runtime] : runtimes) {
    features.emplace_back(executors->query, [runtime]() -> base::Status {
      RETURN_IF_ERROR(runtime->GetFeatures(base::Context().WithTimeout(kFeaturesTime)));
      return {};
    });
  }
  return {};
}

base::Status Daemon::Parts::MakeImages() {
  image::RegistryOptions registry = RegistryOptionsOf(config.image);
  image::Store::Options store = StoreOptionsOf(config);
  store.candidates = [files = registry.files](std::string_view text) { return files->Candidates(text); };
  ASSIGN_OR_RETURN(images, image::Store::Open(std::move(store)));
  for (const image::StoreProblem& problem : images->problems())
    Report(base::Cat("image store: ", problem.name, ": ", problem.what));
  features.emplace_back(executors->query,
                        [this, folder = config.state_root / "images", helper = programs.helper]() -> base::Status {
                          ASSIGN_OR_RETURN(maps_owners, kernel::CanMountMapped(folder, helper), "user namespaces");
                          user_namespaces = true;
                          if (!maps_owners)
                            spdlog::info("images=copied_for_user_namespaces folder={}", folder.native());
                          return {};
                        });
  pulls = std::make_unique<state::Timelines>(config.run_root / "pulls", [this](const state::OperationRecord& record) {
    if (tracer) tracer->OperationEnded(record);
  });
  puller = std::make_unique<image::Puller>(
      image::Puller::Options{.store = images.get(),
                             .registry = std::move(registry),
                             .parallel_layers = static_cast<size_t>(config.image.parallel_layers),
                             .pulls = static_cast<size_t>(config.image.parallel_pulls),
                             .ended = [this](const image::PullEnd& end) { PullEnded(end); }});
  imports = std::make_unique<ImportFolder>(ImportFolder::Options{
      .folder = config.image.import_dir.empty() ? config.state_root / "import" : config.image.import_dir,
      .record = config.state_root / "images/imported.json",
      .puller = puller.get(),
      .store = images.get(),
      .executor = &executors->pull,
      .report = [this](const std::string& problem) { Report(problem); }});
  return {};
}

void Daemon::Parts::PullEnded(const image::PullEnd& end) {
  metrics.PullEnded(end);
  state::OperationRecord record{.operation = end.from_archive ? "LoadImages" : "PullImage",
                                .object = end.image_id,
                                .request = end.request,
                                .code = {},
                                .timeline = end.timeline};
  if (end.error != nullptr) record.code = base::CodeName(end.error->code);
  if (!record.object.empty()) pulls->Begin(record.object);
  pulls->Add(record);
}

void Daemon::Parts::MakeLeftovers() {
  undoers = container::ContainerUndoers(runtimes, *cgroups, systemd_manager);
  undoers.merge(sandbox::SandboxUndoers(*network, *cgroups, systemd_manager));
  leftover_timer = std::make_unique<asio::steady_timer>(loop);
  dirty_timer = std::make_unique<asio::steady_timer>(loop);
  sample_timer = std::make_unique<asio::steady_timer>(loop);
  state::LeftoverQueue::Options queue{.undoers = undoers};
  queue.changed = [this] { asio::post(loop, [this] { ArmLeftovers(); }); };
  leftovers = std::make_unique<state::LeftoverQueue>(std::move(queue));

  timelines =
      std::make_unique<state::Timelines>(config.run_root / "timelines", [this](const state::OperationRecord& record) {
        metrics.OperationEnded(record);
        if (tracer) tracer->OperationEnded(record);
      });
}

base::Status Daemon::Parts::MakeContainers() {
  ASSIGN_OR_RETURN(capabilities, kernel::OwnCapabilities());
  cdi = std::make_unique<container::CdiDevices>(
      std::vector<base::Path>(config.container.cdi_dirs.begin(), config.container.cdi_dirs.end()));
  hooks = std::make_unique<container::HookFolders>(
      std::vector<base::Path>(config.container.hooks_dirs.begin(), config.container.hooks_dirs.end()));
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
      Events::Options{.describe = [this](const Change& change,
                                         cri::ContainerEventResponse& out) { DescribeEvent(*services, change, out); },
                      .executor = &executors->query});
  container_parts.changed = [this](const auto& before, const auto& after) { events->OnContainer(before, after); };
  containers = std::make_unique<container::Containers>(std::move(container_parts));
  return {};
}

base::Status Daemon::Parts::MakeSandboxes() {
  ASSIGN_OR_RETURN(auto default_sysctls, sandbox::ParseSysctls(config.container.default_sysctls),
                   "container.default_sysctls");
  sandboxes = std::make_unique<sandbox::Sandboxes>(
      sandbox::Parts{.state_folder = config.state_root / "sandboxes",
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
                     .default_sysctls = std::move(default_sysctls),
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
                     .ended =
                         [this](const std::string& id) {
                           if (streaming) streaming->ClosePod(id);
                         }});
  return {};
}

base::Status Daemon::Parts::MakeServices() {
  stats = std::make_unique<stats::Collector>(stats::Collector::Options{.cgroups = cgroups.get(), .quota = quota.get()});
  ASSIGN_OR_RETURN(streaming, streaming::Server::Start(StreamingOptions()));
  constexpr int kSysResource = 24;
  services = std::make_unique<Services>(
      Services{.config = config,
               .sandboxes = *sandboxes,
               .containers = *containers,
               .images = *images,
               .puller = *puller,
               .network = *network,
               .streaming = *streaming,
               .stats = *stats,
               .runtimes = runtimes,
               .timelines = *timelines,
               .pulls = *pulls,
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

}  // namespace berth::server
