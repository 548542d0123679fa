// The commands, a file for each family. They write what was asked for to standard output, and everything else
// (progress, hints) to standard error.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "cli/client.h"
#include "cli/find.h"

namespace CLI {
class App;
}
namespace google::protobuf {
class Message;
}

namespace berth::cli {

// Exit codes are those of the command that was run in a container; our own failures have this one.
inline constexpr int kOwnFailure = 125;

struct Session {
  Client& client;
  base::Context context;             // ends with the first SIGINT or SIGTERM
  bool json = false;                 // -o json
  bool time_limited = false;         // --timeout was given
  int64_t time_limit = 0;            // its seconds
  std::vector<std::string> command;  // of `run` and `exec`: what follows the image or container
};

// What a command does; its value is the exit code.
using Command = std::function<base::Result<int>(Session&)>;

// Each adds its commands to the parser. The one that is on the command line puts itself into `chosen`.
void AddPullCommands(CLI::App& app, Command& chosen);         // pull
void AddImageCommands(CLI::App& app, Command& chosen);        // images, rmi, load, check, pulls
void AddRunCommands(CLI::App& app, Command& chosen);          // run
void AddListCommands(CLI::App& app, Command& chosen);         // pods, ps
void AddInspectCommands(CLI::App& app, Command& chosen);      // inspect
void AddLogsCommands(CLI::App& app, Command& chosen);         // logs
void AddExecCommands(CLI::App& app, Command& chosen);         // exec
void AddAttachCommands(CLI::App& app, Command& chosen);       // attach
void AddPortForwardCommands(CLI::App& app, Command& chosen);  // port-forward
void AddStopCommands(CLI::App& app, Command& chosen);         // stop, rm
void AddInfoCommands(CLI::App& app, Command& chosen);         // info, version, log-level
void AddTimelineCommands(CLI::App& app, Command& chosen);     // timeline

// Shared by the families.
void Print(std::string_view text);                                 // to standard output
void Note(std::string_view text);                                  // to standard error, with a newline
std::string ToJsonText(const google::protobuf::Message& message);  // indented, names as in the proto's JSON form
base::Result<Objects> LoadObjects(Session& session);
// `work` for each name; goes on after a failure and returns the first one. The names that worked are printed.
base::Result<int> ForEach(const std::vector<std::string>& names,
                          const std::function<base::Status(const std::string&)>& work);
// Pulls and shows progress. The image's id.
base::Result<std::string> Pull(Session& session, const cri::PullImageRequest& request);
// The container's log to standard output and error until it has ended; its exit code.
base::Result<int> FollowToEnd(Session& session, const std::string& container_id);
// Stops, first the containers with their grace, then the pod.
base::Status StopPod(Session& session, const std::string& id, std::chrono::seconds grace);
// Stops and removes the pod; the log folder too when `run` made it.
base::Status RemovePod(Session& session, const cri::PodSandbox& pod);

// Marks pods that `run` made; the value is the log folder.
inline constexpr const char* kLogFolderAnnotation = "berth.run/log-folder";

}  // namespace berth::cli
