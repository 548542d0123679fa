// What the handlers of all calls work on. Made by Daemon, which outlives every call.
#pragma once

#include <functional>
#include <string>

#include "config/config.h"
#include "container/containers.h"
#include "image/pull.h"
#include "image/store.h"
#include "network/network.h"
#include "sandbox/sandboxes.h"
#include "server/stats/collector.h"
#include "server/streaming/server.h"
#include "state/timelines.h"

namespace berth::server {

struct Services {
  const config::Config& config;
  sandbox::Sandboxes& sandboxes;
  container::Containers& containers;
  image::Store& images;
  image::Puller& puller;
  network::Network& network;
  streaming::Server& streaming;
  stats::Collector& stats;
  const container::Runtimes& runtimes;
  const state::Timelines& timelines;  // of pods and containers
  const state::Timelines& pulls;      // of images
  std::string default_runtime;
  bool systemd_cgroup = false;
  bool user_namespaces = false;  // pods can have one of their own
  bool clamped = false;          // the daemon lacks CAP_SYS_RESOURCE: oom_score_adj cannot be lowered below its own
  std::function<std::vector<std::string>()> problems;  // found at start or since, for Status's verbose info
};

}  // namespace berth::server
