// What goes on by itself while calls are served.
#include <fcntl.h>

#include <spdlog/spdlog.h>
#include <boost/asio/post.hpp>

#include "server/daemon_parts.h"
#include "server/figures.h"

namespace berth::server {
namespace {

constexpr auto kUndoTime = std::chrono::minutes(1);
constexpr int kUndoers = 4;
constexpr auto kDirtyRetry = std::chrono::seconds(10);
constexpr auto kSamplePeriod = std::chrono::seconds(10);
constexpr size_t kMaxProblems = 100;

}  // namespace

void Daemon::Parts::Report(const std::string& problem) {
  spdlog::warn("problem={}", problem);
  problems.With([&](std::vector<std::string>& all) {
    if (all.size() < kMaxProblems) all.push_back(problem);
  });
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
             .text =
                 [this] {
                   return metrics.Text(
                       AllFigures(*services, {.waiting = leftovers->size(), .repaired = repaired}, tracer.get()));
                 },
             .work = &executors->query});
  if (server)
    metrics_server = *std::move(server);
  else
    Report(server.error().Text());
}

void Daemon::Parts::Watch() {
  if (auto watching = imports->Start(loop); !watching) Report("import folder: " + watching.error().message);
  auto watcher =
      network::ConfWatcher::Make({.conf_dir = config.network.conf_dir,
                                  .bin_dirs = {config.network.bin_dirs.begin(), config.network.bin_dirs.end()},
                                  .on_change = [this] { network->Reload(); }});
  if (!watcher) {
    Report("network: changes of the configuration are not noticed: " + watcher.error().message);
    return;
  }
  conf_watcher = *std::move(watcher);
  conf_event = std::make_unique<asio::posix::stream_descriptor>(loop, fcntl(conf_watcher->fd(), F_DUPFD_CLOEXEC, 0));
  const auto wait = [this](const auto& self) -> void {
    conf_event->async_wait(asio::posix::stream_descriptor::wait_read,
                           [this, self](const boost::system::error_code& error) {
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

}  // namespace berth::server
