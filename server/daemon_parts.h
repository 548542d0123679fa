// Everything that the daemon is made of. Used by daemon*.cc alone.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/beside.h"
#include "kernel/limits.h"
#include "network/conf_watcher.h"
#include "server/daemon.h"
#include "server/executors.h"
#include "server/host.h"
#include "server/import_folder.h"
#include "server/part_options.h"
#include "server/runtime_service.h"
#include "server/telemetry/metrics_server.h"
#include "server/telemetry/tracer.h"

namespace berth::server {

namespace asio = boost::asio;

// In the order of making; destroyed backwards, executors (whose threads use everything) first of all in ~Daemon.
struct Daemon::Parts {
  explicit Parts(config::Config given) : config(std::move(given)) {}

  // daemon_make.cc, in this order: each needs those before.
  base::Status Make();
  base::Status MakeBase();
  base::Status MakeRuntimes();
  base::Status MakeImages();
  void PullEnded(const image::PullEnd& end);
  void MakeLeftovers();
  base::Status MakeContainers();
  base::Status MakeSandboxes();
  base::Status MakeServices();
  streaming::Server::Options StreamingOptions();

  // daemon.cc
  base::Status Restore();
  void End(grpc::Server& server);

  // daemon_watch.cc: what goes on by itself while calls are served.
  void Watch();
  void ServeMetrics();
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
  bool systemd = false;  // is the cgroup driver
  Programs programs;
  kernel::CapabilitySets capabilities;  // our own
  const kernel::Systemd systemd_manager;
  std::unique_ptr<container::CdiDevices> cdi;
  std::unique_ptr<container::HookFolders> hooks;
  container::ApparmorDefault apparmor{FindInstalled("apparmor_parser")};
  std::unique_ptr<kernel::ForeignPaths> paths;
  std::unique_ptr<kernel::ProjectQuota> quota;  // where the state root's file system counts by project
  container::Runtimes runtimes;
  std::string default_runtime;
  std::vector<base::Beside> features;  // that the runtimes and the kernel are being asked for
  std::unique_ptr<image::Store> images;
  std::unique_ptr<state::Timelines> pulls;  // of images
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

}  // namespace berth::server
