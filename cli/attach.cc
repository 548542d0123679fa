#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/remote_command.h"

namespace berth::cli {
namespace {

struct AttachFlags {
  std::string name;
  bool terminal = false;
  bool interactive = false;
};

base::Result<int> RunAttach(Session& session, const AttachFlags& flags) {
  ASSIGN_OR_RETURN(const Objects objects, LoadObjects(session));
  ASSIGN_OR_RETURN(const cri::Container container, FindContainer(objects, flags.name));
  cri::AttachRequest request;
  request.set_container_id(container.id());
  request.set_tty(flags.terminal);
  request.set_stdin(flags.interactive);
  request.set_stdout(true);
  request.set_stderr(!flags.terminal);
  ASSIGN_OR_RETURN(const std::string url, session.client.Attach(request, session.context), "attach to ", flags.name);
  return RunRemote(url, {.terminal = flags.terminal, .input = flags.interactive}, session.context);
}

}  // namespace

void AddAttachCommands(CLI::App& app, Command& chosen) {
  auto flags = std::make_shared<AttachFlags>();
  CLI::App* command = app.add_subcommand("attach", "Show what a running container writes from now on, and talk to it");
  command->add_flag("-t,--tty", flags->terminal,
                    "The container has a terminal: use ours in raw mode and tell its size");
  command->add_flag("-i,--stdin", flags->interactive, "Pass our standard input on");
  command->add_option("container", flags->name, "Name or id of a container, or of a pod with one container")
      ->required();
  command->footer("With -t, Ctrl-P Ctrl-Q ends the client and nothing else.");
  command->callback([flags, &chosen] { chosen = [flags](Session& session) { return RunAttach(session, *flags); }; });
}

}  // namespace berth::cli
