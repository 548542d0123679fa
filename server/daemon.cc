#include "server/daemon.h"

#include <signal.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include <cerrno>
#include <set>
#include <thread>

#include <grpcpp/grpcpp.h>
#include <spdlog/spdlog.h>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/signal_set.hpp>

#include "network/torn_reservations.h"
#include "server/daemon_parts.h"
#include "server/pull_progress.h"

namespace berth::server {

using base::Code;
using base::Fail;

namespace {

// For calls in flight. Idle connections of clients that stay are closed only at its end, so it is short.
constexpr auto kShutdownTime = std::chrono::milliseconds(500);
// Before the first pod can be added: what the plugins do not get done in it is tried at the next start.
constexpr auto kGcTime = std::chrono::seconds(3);

base::Result<std::unique_ptr<grpc::Server>> Listen(const config::Config::Grpc& config,
                                                   std::initializer_list<grpc::Service*> services) {
  const base::Path socket = config.socket;
  RETURN_IF_ERROR(base::MakeDirs(socket.parent_path(), 0711));
  RETURN_IF_ERROR(base::RemoveFile(socket));  // the lock says that nobody else listens there

  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(static_cast<int>(config.max_message.bytes));
  builder.SetMaxSendMessageSize(static_cast<int>(config.max_message.bytes));
  builder.AddListeningPort("unix://" + socket.native(), grpc::InsecureServerCredentials());
  for (grpc::Service* service : services) builder.RegisterService(service);
  const mode_t mask = umask(0077);  // nobody may connect before the mode is right
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  umask(mask);
  if (!server) return Fail(Code::kUnavailable, "cannot listen on ", socket.native());
  if (chown(socket.c_str(), 0, static_cast<gid_t>(config.socket_gid)) != 0 ||
      chmod(socket.c_str(), config.socket_mode.bits) != 0) {
    return base::FailErrno(errno, "set the owner and mode of ", socket.native());
  }
  return server;
}

}  // namespace

base::Status Daemon::Parts::Restore() {
  const auto report = [this](const std::string& problem) { Report(problem); };
  RETURN_IF_ERROR(containers->Recover(report), "restore containers");
  RETURN_IF_ERROR(sandboxes->Recover(report), "restore sandboxes");
  images->Collect();
  if (const auto loaded = network->config(); !same_boot && loaded->list) {
    if (auto torn = network::ForgetTornReservations(*loaded->list); !torn)
      report("network: " + torn.error().message);
    else if (*torn > 0)
      report(base::Cat("network: ", *torn, " reservations of addresses were cut short with the node and are removed"));
  }
  const auto known = [this](const std::string& id) {
    return containers->Find(id).has_value() || sandboxes->Find(id).has_value();
  };
  if (base::Status opened = timelines->Open(known); !opened) Report("timelines are not kept: " + opened.error().Text());
  const auto stored = [this](const std::string& id) { return images->Find(id).value_or(nullptr) != nullptr; };
  if (base::Status opened = pulls->Open(stored); !opened) {
    Report("timelines of pulls are not kept: " + opened.error().Text());
  }
  // From here on the run root belongs to this boot. Before, a crash must find it as it was.
  if (base::Status written = same_boot ? base::Status() : base::WriteFile(config.run_root / "boot_id", boot_id);
      !written) {
    Report("the next start will take this boot for another: " + written.error().Text());
  }
  if (base::Status cleaned = network->Gc(sandboxes->NetworksSeenTo(), base::Context().WithTimeout(kGcTime)); !cleaned)
    Report("network: " + cleaned.error().message);
  for (base::Beside& asked : features) {
    if (base::Status told = asked.Join(); !told) Report(told.error().Text());
  }
  features.clear();
  services->user_namespaces = user_namespaces;
  return {};
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
  ASSIGN_OR_RETURN(const auto server, Listen(parts.config.grpc, {&runtime_service, &image_service, &berth_service}));

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
  spdlog::info("berthd={} socket={} ready sandboxes={} containers={} images={}", BERTH_VERSION,
               parts.config.grpc.socket.native(), parts.sandboxes->List().size(), parts.containers->List().size(),
               parts.images->List()->size());
  sd_notify(0, "READY=1");
  const auto keep_running = asio::make_work_guard(parts.loop);
  parts.loop.run();
  parts.End(*server);
  return base::RemoveFile(parts.config.grpc.socket);
}

void Daemon::Parts::End(grpc::Server& server) {
  spdlog::info("berthd=stopping");
  sd_notify(0, "STOPPING=1");
  metrics_server.reset();  // before what it looks at
  // Followers of pulls are ended on the loop, so it goes on while the server shuts down.
  loop.restart();
  std::thread running([&] { loop.run(); });
  streaming->Stop();
  events->End();
  server.Shutdown(std::chrono::system_clock::now() + kShutdownTime);
  imports->Stop();
  containers->End();
  sandboxes->End();
  loop.stop();
  running.join();
  executors.reset();  // nobody hands them work any more: calls in flight end before the server does
}

}  // namespace berth::server
