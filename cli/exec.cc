#include <unistd.h>

#include <CLI/CLI.hpp>

#include "base/file.h"
#include "cli/commands.h"

namespace berth::cli {
namespace {

struct ExecFlags {
  std::string name;
  bool terminal = false;
  bool interactive = false;
};

base::Result<int> RunExec(Session& session, const ExecFlags& flags) {
  if (flags.terminal || flags.interactive)
    return base::Fail(base::Code::kUnimplemented,
                      "exec cannot use a terminal or standard input yet; without -t and -i it runs the "
                      "command and shows its output when it ends");
  if (session.command.empty())
    return base::Fail(base::Code::kInvalidArgument, "exec: the command is missing; write it like `berth exec ",
                      flags.name, " ls -l`");
  ASSIGN_OR_RETURN(const Objects objects, LoadObjects(session));
  ASSIGN_OR_RETURN(const cri::Container container, FindContainer(objects, flags.name));
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
  command->add_flag("-t,--tty", flags->terminal, "Not supported yet");
  command->add_flag("-i,--stdin", flags->interactive, "Not supported yet");
  command->add_option("container", flags->name, "Name or id of a container, or of a pod with one container")
      ->required();
  command->footer(
      "berth exec [OPTIONS] container command [argument...]: what follows the container is handed on as it is.");
  command->callback([flags, &chosen] { chosen = [flags](Session& session) { return RunExec(session, *flags); }; });
}

}  // namespace berth::cli
