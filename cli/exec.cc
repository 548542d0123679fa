#include <unistd.h>

#include <CLI/CLI.hpp>

#include "base/file.h"
#include "cli/commands.h"

namespace berth::cli {
namespace {

struct ExecFlags {
  std::string name;
  std::vector<std::string> command;
  bool terminal = false;
  bool interactive = false;
};

base::Result<int> RunExec(Session& session, const ExecFlags& flags) {
  if (flags.terminal || flags.interactive)
    return base::Fail(base::Code::kUnimplemented, "exec cannot use a terminal or standard input yet; without -t and -i it runs the "
                      "command and shows its output when it ends");
  ASSIGN_OR_RETURN(const Objects objects, LoadObjects(session));
  ASSIGN_OR_RETURN(const cri::Container container, FindContainer(objects, flags.name));
  cri::ExecSyncRequest request;
  request.set_container_id(container.id());
  request.mutable_cmd()->Assign(flags.command.begin(), flags.command.end());
  if (session.time_limited) request.set_timeout(session.time_limit);
  ASSIGN_OR_RETURN(const cri::ExecSyncResponse reply, session.client.ExecSync(request, session.context), "exec in ", flags.name);
  if (session.json) {
    Print(ToJsonText(reply));
  } else {
    Print(reply.stdout());
    (void)base::WriteAll(STDERR_FILENO, reply.stderr(), "standard error");
  }
  return reply.exit_code();
}

}  // namespace

void AddExecCommands(CLI::App& app, Command& chosen) {
  auto flags = std::make_shared<ExecFlags>();
  CLI::App* command = app.add_subcommand("exec", "Run a command in a running container and show its output; exits with its exit code");
  command->add_flag("-t,--tty", flags->terminal, "Not supported yet");
  command->add_flag("-i,--stdin", flags->interactive, "Not supported yet");
  command->add_option("container", flags->name, "Name or id of a container, or of a pod with one container")->required();
  command->add_option("command", flags->command, "The command and its arguments")->required();
  command->positionals_at_end();
  command->prefix_command(false);
  command->callback([flags, &chosen] { chosen = [flags](Session& session) { return RunExec(session, *flags); }; });
}

}  // namespace berth::cli
