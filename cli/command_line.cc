#include "cli/command_line.h"

#include <unistd.h>

#include <cerrno>

#include <CLI/CLI.hpp>

#include "cli/commands.h"

namespace berth::cli {
namespace {

// The option that "--name", "--name=value", "-n" or "-nvalue" stands for; null for one that nobody knows.
const CLI::Option* FindOption(const CLI::App& app, const CLI::App* command, const std::string& argument) {
  const std::string name = argument.starts_with("--") ? argument.substr(0, argument.find('=')) : argument.substr(0, 2);
  const CLI::Option* found = command != nullptr ? command->get_option_no_throw(name) : nullptr;
  return found != nullptr ? found : app.get_option_no_throw(name);
}

// Whether the next argument is the value of this one.
bool TakesNext(const CLI::Option* option, const std::string& argument) {
  if (option == nullptr || option->get_items_expected_max() == 0) return false;
  return argument.starts_with("--") ? argument.find('=') == std::string::npos : argument.size() == 2;
}

std::string Hint(const base::Error& error, const std::string& socket) {
  if (error.code != base::Code::kUnavailable) return {};
  const std::string path = socket.starts_with("unix://") ? socket.substr(7) : std::string();
  if (!path.empty() && access(path.c_str(), R_OK | W_OK) != 0 && errno == EACCES)
    return base::Cat("only root may talk to the daemon at ", socket, ": try again with sudo");
  return base::Cat("is berthd running and listening at ", socket,
                   "? Start it with `systemctl start berthd`, or name another socket with --socket");
}

struct GlobalFlags {
  std::string socket = "unix:///run/berth/berth.sock";
  std::string output = "table";
  int64_t timeout = 0;
  CLI::Option* limit = nullptr;
};

void AddEverything(CLI::App& app, GlobalFlags& flags, Command& chosen) {
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("berth ") + BERTH_VERSION);
  app.footer("Exit codes: of the command that ran in the container; 125 for failures of berth itself.");
  app.add_option("--socket", flags.socket, "The daemon's socket")->envname("BERTH_SOCKET")->capture_default_str();
  flags.limit = app.add_option("--timeout", flags.timeout, "Seconds that a call may take; 0: any time")
                    ->check(CLI::Range(0, 86400));
  app.add_option("-o,--output", flags.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  app.fallthrough();
  AddPullCommands(app, chosen);
  AddImageCommands(app, chosen);
  AddRunCommands(app, chosen);
  AddListCommands(app, chosen);
  AddInspectCommands(app, chosen);
  AddLogsCommands(app, chosen);
  AddExecCommands(app, chosen);
  AddAttachCommands(app, chosen);
  AddPortForwardCommands(app, chosen);
  AddStopCommands(app, chosen);
  AddTimelineCommands(app, chosen);
  AddInfoCommands(app, chosen);
}

}  // namespace

CommandLine SplitCommandLine(const CLI::App& app, const std::vector<std::string>& arguments) {
  CommandLine out;
  const CLI::App* command = nullptr;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    out.ours.push_back(argument);
    if (argument.size() > 1 && argument.starts_with('-') && argument != "--") {
      if (TakesNext(FindOption(app, command, argument), argument) && i + 1 < arguments.size())
        out.ours.push_back(arguments[++i]);
    } else if (command == nullptr) {
      if (argument != "run" && argument != "exec") return {.ours = arguments};
      for (const CLI::App* each : app.get_subcommands([](const CLI::App*) { return true; })) {
        if (each->get_name() == argument) command = each;
      }
    } else if (argument != "--") {
      size_t rest = i + 1;
      if (rest < arguments.size() && arguments[rest] == "--") ++rest;
      out.command.assign(arguments.begin() + static_cast<ptrdiff_t>(rest), arguments.end());
      return out;
    }
  }
  return out;
}

int RunCommandLine(const std::vector<std::string>& arguments, const base::Context& context) {
  CLI::App app{"Client of the Berth container runtime", "berth"};
  GlobalFlags flags;
  Command chosen;
  AddEverything(app, flags, chosen);
  CommandLine line = SplitCommandLine(app, arguments);
  try {
    app.parse(std::vector<std::string>(line.ours.rbegin(), line.ours.rend()));  // CLI11 wants the last one first
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kOwnFailure;
  }
  if (flags.socket.starts_with('/')) flags.socket = "unix://" + flags.socket;
  Client::Options options{.socket = flags.socket};
  const bool limited = flags.limit->count() > 0;
  if (limited) options.timeout = std::chrono::seconds(flags.timeout);
  Client client(options);
  Session session{.client = client,
                  .context = context,
                  .json = flags.output == "json",
                  .time_limited = limited,
                  .time_limit = flags.timeout,
                  .command = std::move(line.command)};
  const base::Result<int> code = chosen(session);
  if (code) return *code;
  Note("berth: " + code.error().Text());
  if (const std::string hint = Hint(code.error(), client.socket()); !hint.empty()) Note(hint);
  return kOwnFailure;
}

}  // namespace berth::cli
