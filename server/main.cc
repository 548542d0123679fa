// berthd's command line.
#include <malloc.h>
#include <signal.h>
#include <sys/stat.h>

#include <cstdio>

#include <spdlog/spdlog.h>
#include <CLI/CLI.hpp>

#include "config/config.h"
#include "server/daemon.h"
#include "server/offline_check.h"
#include "server/telemetry/log.h"

namespace {

using namespace berth;

int Fail(const base::Error& error) {
  std::fprintf(stderr, "berthd: %s\n", error.Text().c_str());
  return 1;
}

// SIGHUP: what can change while everything runs.
void Reload(const config::LoadOptions& options) {
  const auto config = config::Load(options);
  if (!config) return spdlog::error("reload=failed error=\"{}; everything stays as it was\"", config.error().Text());
  telemetry::SetLogLevel(config->log.level);
  spdlog::info("reload=done log.level={} (other keys are read at a start)", telemetry::LogLevelName());
}

int Run(config::Config config, const config::LoadOptions& options) {
  telemetry::SetUpLog(config.log);
  // Whoever started us may have another, and runc gives ours to what an exec runs.
  umask(022);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);  // until it is served
  // Two arenas are enough for threads that mostly wait, and keep the resident size from growing with their number.
  mallopt(M_ARENA_MAX, 2);
  auto daemon = server::Daemon::Make(std::move(config));
  if (!daemon) return Fail(daemon.error());
  const base::Status served = (*daemon)->Serve([&] { Reload(options); });
  return served ? 0 : Fail(served.error());
}

// The exit code says whether all is well.
int Check(const config::Config& config, const image::CheckOptions& options) {
  const auto whole = server::CheckOffline(config, options);
  if (!whole) return Fail(whole.error());
  return *whole ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Kubernetes container runtime (CRI v1)", "berthd"};
  config::LoadOptions options;
  std::string file;
  std::string dropin_dir;
  bool check = false;
  app.add_option("-c,--config", file, "Configuration file (default /etc/berth/berth.yaml)");
  app.add_option("--config-dir", dropin_dir, "Folder of drop-ins (default /etc/berth/berth.d)");
  app.add_option("-s,--set", options.overrides, "Override a key: --set log.level=debug; may be given several times");
  app.add_flag("--check-config", check, "Only validate the configuration");
  app.set_version_flag("--version", std::string("berthd ") + BERTH_VERSION);
  const CLI::App* print = app.add_subcommand("config", "Print the effective configuration as commented YAML");
  image::CheckOptions check_options;
  CLI::App* check_store = app.add_subcommand(
      "check", "Look whether the image store is whole, while no daemon runs; `berth check` asks one that does");
  check_store->add_flag("--contents", check_options.contents, "Read every file, too");
  check_store->add_flag("--repair", check_options.repair, "Take away what is broken, with the images that have it");
  CLI11_PARSE(app, argc, argv);

  options.file = file;
  options.dropin_dir = dropin_dir;
  auto config = config::Load(options);
  if (!config) return Fail(config.error());
  if (check) return 0;
  if (print->parsed()) {
    std::fputs(config::Print(*config).c_str(), stdout);
    return 0;
  }
  if (check_store->parsed()) return Check(*config, check_options);
  return Run(*std::move(config), options);
}
