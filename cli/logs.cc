#include <unistd.h>

#include <CLI/CLI.hpp>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/log_follower.h"

namespace berth::cli {
namespace {

struct LogFlags {
  std::string name;
  bool follow = false;
  bool timestamps = false;
};

// A record's content to the stream that it came from.
void Show(const LogRecord& record, bool timestamps) {
  std::string out;
  if (timestamps) out = base::Cat(record.timestamp, " ");
  out += record.content;
  if (!record.partial || timestamps) out += '\n';
  (void)base::WriteAll(record.is_stderr ? STDERR_FILENO : STDOUT_FILENO, out, "output");
}

base::Result<bool> HasEndedNow(Session& session, const std::string& id) {
  const auto now = session.client.ContainerStatus(id, false, session.context);
  if (!now && now.error().code == base::Code::kNotFound) return true;  // removed meanwhile
  if (!now) return tl::make_unexpected(now.error());
  return now->status().state() != cri::CONTAINER_RUNNING && now->status().state() != cri::CONTAINER_CREATED;
}

base::Result<int> RunLogs(Session& session, const LogFlags& flags) {
  ASSIGN_OR_RETURN(const Objects objects, LoadObjects(session));
  ASSIGN_OR_RETURN(const cri::Container container, FindContainer(objects, flags.name));
  ASSIGN_OR_RETURN(const auto reply, session.client.ContainerStatus(container.id(), false, session.context));
  const std::string& path = reply.status().log_path();
  if (path.empty())
    return base::Fail(base::Code::kFailedPrecondition, "the container \"", flags.name,
                      "\" was made without a log; its output is discarded");
  const EmitRecord show = [&](const LogRecord& record) { Show(record, flags.timestamps); };
  if (!flags.follow) {
    RETURN_IF_ERROR(ReadLog(path, show));
    return 0;
  }
  const auto followed = FollowLog(
      path, [&] { return HasEndedNow(session, container.id()); }, show, session.context);
  if (!followed && followed.error().code != base::Code::kCancelled) return tl::make_unexpected(followed.error());
  return 0;
}

}  // namespace

base::Result<int> FollowToEnd(Session& session, const std::string& container_id) {
  ASSIGN_OR_RETURN(const auto before, session.client.ContainerStatus(container_id, false, session.context));
  RETURN_IF_ERROR(FollowLog(
      before.status().log_path(), [&] { return HasEndedNow(session, container_id); },
      [](const LogRecord& record) { Show(record, false); }, session.context));
  ASSIGN_OR_RETURN(const auto after, session.client.ContainerStatus(container_id, false, session.context));
  return after.status().exit_code();
}

void AddLogsCommands(CLI::App& app, Command& chosen) {
  auto flags = std::make_shared<LogFlags>();
  CLI::App* command = app.add_subcommand("logs", "Show what a container has written");
  command->add_option("container", flags->name, "Name or id of a container, or of a pod with one container")
      ->required();
  command->add_flag("-f,--follow", flags->follow, "Go on until the container ends");
  command->add_flag("-t,--timestamps", flags->timestamps, "Show the time of each record");
  command->callback([flags, &chosen] { chosen = [flags](Session& session) { return RunLogs(session, *flags); }; });
}

}  // namespace berth::cli
