// berth: a small client for people. Exits with the code of what ran in a container, or with 125 for failures of its own.
#include <signal.h>

#include <cstdlib>
#include <thread>

#include <CLI/CLI.hpp>

#include "cli/commands.h"

namespace {

using namespace berth;

std::string Hint(const base::Error& error, const std::string& socket) {
  if (error.code == base::Code::kUnavailable) {
    return "is berthd running and listening on " + socket + "? Start it with `systemctl start berthd`, or name another socket with --socket";
  }
  if (error.code == base::Code::kNotFound) return "`berth pods`, `berth ps -a` and `berth images` show what there is";
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Client of the Berth container runtime", "berth"};
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("berth ") + BERTH_VERSION);
  cli::Client::Options options;
  std::string output = "table";
  int64_t timeout = 0;
  app.add_option("--socket", options.socket, "The daemon's socket")->envname("BERTH_SOCKET")->capture_default_str();
  CLI::Option* limit = app.add_option("--timeout", timeout, "Seconds that a call may take")->check(CLI::Range(0, 86400));
  app.add_option("-o,--output", output, "table or json")->check(CLI::IsMember({"table", "json"}))->capture_default_str();
  app.fallthrough();
  cli::Command chosen;
  cli::AddPullCommands(app, chosen);
  cli::AddImageCommands(app, chosen);
  cli::AddRunCommands(app, chosen);
  cli::AddListCommands(app, chosen);
  cli::AddInspectCommands(app, chosen);
  cli::AddLogsCommands(app, chosen);
  cli::AddExecCommands(app, chosen);
  cli::AddStopCommands(app, chosen);
  cli::AddInfoCommands(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : cli::kOwnFailure;
  }

  signal(SIGPIPE, SIG_IGN);
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGINT);
  sigaddset(&wanted, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &wanted, nullptr);
  const base::Context context = base::Context::Make("berth");
  std::thread([context, wanted] {
    int signal = 0;
    sigwait(&wanted, &signal);
    context.Cancel();
    // The second time nobody waits for tidying.
    sigwait(&wanted, &signal);
    _exit(128 + signal);
  }).detach();

  if (limit->count() > 0) options.timeout = std::chrono::seconds(timeout);
  cli::Client client(options);
  cli::Session session{.client = client, .context = context, .json = output == "json", .time_limited = limit->count() > 0, .time_limit = timeout};
  const base::Result<int> code = chosen(session);
  if (code) return *code;
  cli::Note("berth: " + code.error().Text());
  if (const std::string hint = Hint(code.error(), client.socket()); !hint.empty()) cli::Note(hint);
  return cli::kOwnFailure;
}
