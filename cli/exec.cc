#include <unistd.h>

#include <CLI/CLI.hpp>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/remote_command.h"

namespace berth::cli {
namespace {

struct ExecFlags {
  std::string name;
  bool terminal = false;
  bool interactive = false;
};

base::Result<int> RunExec(Session& session, const ExecFlags& flags) {
  if (session.command.empty())
    return base::Fail(base::Code::kInvalidArgument, "exec: the command is missing; write it like `berth exec ",
                      flags.name, " ls -l`");
  ASSIGN_OR_RETURN(const Objects objects, LoadObjects(session));
  ASSIGN_OR_RETURN(const cri::Container container, FindContainer(objects, flags.name));
  if (flags.terminal || flags.interactive) {
    cri::ExecRequest request;
    request.set_container_id(container.id());
    request.mutable_cmd()->Assign(session.command.begin(), session.command.end());
    request.set_tty(flags.terminal);
    request.set_stdin(flags.interactive);
    request.set_stdout(true);
    request.set_stderr(!flags.terminal);
    ASSIGN_OR_RETURN(const std::string url, session.client.Exec(request, session.context), "exec in ", flags.name);
    return RunRemote(url, {.terminal = flags.terminal, .input = flags.interactive}, session.context);
  }
  cri::ExecSyncRequest request;
  request.set_container_id(container.id());
  request.mutable_cmd()->Assign(session.command.begin(), session.command.end());
  if (session.time_limited) request.set_timeout(session.time_limit);
  ASSIGN_OR_RETURN(const cri::ExecSyncResponse reply, session.client.ExecSync(request, session.context), "exec in ",
                   flags.name);
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
  CLI::App* command =
      app.add_subcommand("exec", "Run a command in a running container and show its output; exits with its exit code");
  command->add_flag("-t,--tty", flags->terminal, "Give the command a terminal; its one output is shown as it comes");
  command->add_flag("-i,--stdin", flags->interactive, "Pass our standard input on; output is shown as it comes");
  command->add_option("container", flags->name, "Name or id of a container, or of a pod with one container")
      ->required();
  command->footer(
      "berth exec [OPTIONS] container command [argument...]: what follows the container is handed on as it is.\n"
      "With -t, Ctrl-P Ctrl-Q leaves the command running and ends the client.");
  command->callback([flags, &chosen] { chosen = [flags](Session& session) { return RunExec(session, *flags); }; });
}

}  // namespace berth::cli
