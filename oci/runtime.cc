#include "oci/runtime.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include <nlohmann/json.hpp>

#include "json/json.h"

namespace berth::oci {
namespace {

constexpr size_t kOutputLimit = 1 << 20;
constexpr auto kKillTime = std::chrono::seconds(5);
// Containers of pods have open connections and hold locks; CRIU refuses both unless it is told of them, at either end.
constexpr const char* kCriuOptions[] = {"--tcp-established", "--file-locks"};

base::Result<Phase> ParsePhase(const std::string& text, std::string_view what) {
  if (text == "creating") return Phase::kCreating;
  if (text == "created") return Phase::kCreated;
  if (text == "running") return Phase::kRunning;
  if (text == "paused") return Phase::kPaused;
  if (text == "stopped") return Phase::kStopped;
  return base::Fail(base::Code::kInternal, what, ": unknown status \"", text, "\"");
}

// mount_setattr (Linux 5.12). Asked with no attributes at all, which it refuses in another way than a kernel that lacks
// it.
bool KernelSetsOptionsOfTrees() {
  return syscall(SYS_mount_setattr, -1, "", 0, nullptr, 0) == 0 || errno != ENOSYS;
}

}  // namespace

base::Result<State> ParseState(std::string_view text, std::string_view what) {
  ASSIGN_OR_RETURN(const nlohmann::json object, json::Parse(text, what));
  json::Reader reader(object, what);
  const std::string status = reader.Text("status");
  const int64_t pid = reader.Number("pid");
  State out{.bundle = reader.Text("bundle")};
  RETURN_IF_ERROR(reader.status());
  ASSIGN_OR_RETURN(out.phase, ParsePhase(status, what));
  // A negative pid would address process groups when signalled.
  if (pid < 0 || !std::in_range<pid_t>(pid)) return base::Fail(base::Code::kInternal, what, ": impossible pid ", pid);
  out.pid = static_cast<pid_t>(pid);
  return out;
}

RuntimeBinary::RuntimeBinary(Options options) : options_(std::move(options)) {}

std::vector<std::string> RuntimeBinary::Command(std::vector<std::string> rest, const base::Path& log_file) const {
  std::vector<std::string> out = {options_.path.string(), "--root", options_.root.string(), "--log-format", "json"};
  if (!log_file.empty()) out.insert(out.end(), {"--log", log_file.string()});
  if (options_.systemd_cgroup) out.emplace_back("--systemd-cgroup");
  out.insert(out.end(), std::make_move_iterator(rest.begin()), std::make_move_iterator(rest.end()));
  return out;
}

std::vector<std::string> RuntimeBinary::Environment(const base::Context& context) const {
  // Hooks and the id-mapping helpers are looked up in it. Nothing of the daemon's own environment is passed on: a
  // NOTIFY_SOCKET, for one, would be taken as the container's.
  std::vector<std::string> out = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  if (!context.id().empty()) out.push_back("BERTH_REQUEST_ID=" + context.id());
  return out;
}

// Standard output of a command that succeeded; an error with the runtime's own message otherwise.
base::Result<std::string> RuntimeBinary::RunCommand(std::vector<std::string> rest, std::string input,
                                                    const base::Context& context) const {
  base::RunOptions run;
  run.spawn = {.program = options_.path, .arguments = Command(std::move(rest)), .environment = Environment(context)};
  run.input = std::move(input);
  run.output_limit = kOutputLimit;
  ASSIGN_OR_RETURN(base::RunResult result, base::Run(std::move(run), context));
  if (result.exit.code == 0) return std::move(result.output);
  std::string message = ErrorText(result.errors);
  if (message.empty()) message = result.exit.Text();
  return base::Fail(base::Code::kInternal, message);
}

// Both crun and runc keep a folder of that name for each container. Asking it needs no process and no reading of
// messages.
bool RuntimeBinary::Knows(const std::string& id) const {
  return base::Exists(options_.root / id);
}

base::Error RuntimeBinary::Explain(base::Error error, std::string_view verb, const std::string& id) const {
  if (error.code == base::Code::kInternal && !Knows(id)) error.code = base::Code::kNotFound;
  return base::Wrap(std::move(error), "runtime ", options_.name, ": ", verb, " ", id);
}

std::vector<std::string> RuntimeBinary::CreateArguments(const CreateOptions& options) const {
  std::vector<std::string> rest = {"create"};
  if (!options.checkpoint.empty()) {
    rest = {"restore", "--detach", "--image-path", options.checkpoint.string(), "--work-path", options.work.string()};
    rest.insert(rest.end(), std::begin(kCriuOptions), std::end(kCriuOptions));
  }
  rest.insert(rest.end(), {"--bundle", options.bundle.string(), "--pid-file", options.pid_file.string()});
  if (!options.console_socket.empty()) rest.insert(rest.end(), {"--console-socket", options.console_socket});
  rest.push_back(options.id);
  return Command(std::move(rest), options.log_file);
}

base::Status RuntimeBinary::Start(const std::string& id, const base::Context& context) {
  if (auto done = RunCommand({"start", id}, {}, context); !done)
    return tl::make_unexpected(Explain(std::move(done).error(), "start", id));
  return {};
}

base::Status RuntimeBinary::Kill(const std::string& id, int signal, bool all, const base::Context& context) {
  std::vector<std::string> rest = {"kill"};
  if (all) rest.emplace_back("--all");
  rest.insert(rest.end(), {id, std::to_string(signal)});
  auto done = RunCommand(std::move(rest), {}, context);
  if (done || !Knows(id)) return {};
  // Each runtime has its own words for "not running"; the state says it in the same way everywhere.
  const auto state = GetState(id, context);
  if (state ? state->phase == Phase::kStopped : state.error().code == base::Code::kNotFound) return {};
  return tl::make_unexpected(Explain(std::move(done).error(), "kill", id));
}

base::Status RuntimeBinary::Delete(const std::string& id, bool force, const base::Context& context) {
  if (!Knows(id)) return {};
  // The plain form first: some releases of runc wait 100 ms in the forced one, whether there is something to kill or
  // not.
  auto done = RunCommand({"delete", id}, {}, context);
  if (done || !Knows(id)) return {};
  RETURN_IF_ERROR(context.Check(base::Cat("runtime ", options_.name, ": delete ", id)));
  if (force) {
    done = RunCommand({"delete", "--force", id}, {}, context);
    if (done || !Knows(id)) return {};
    return tl::make_unexpected(Explain(std::move(done).error(), "delete", id));
  }
  base::Error error = Explain(std::move(done).error(), "delete", id);
  if (const auto state = GetState(id, context); state && state->phase != Phase::kStopped)
    error.code = base::Code::kFailedPrecondition;
  return tl::make_unexpected(std::move(error));
}

base::Result<State> RuntimeBinary::GetState(const std::string& id, const base::Context& context) {
  auto text = RunCommand({"state", id}, {}, context);
  if (!text) return tl::make_unexpected(Explain(std::move(text).error(), "state", id));
  return ParseState(*text, base::Cat("runtime ", options_.name, ": state ", id));
}

base::Result<base::Child> RuntimeBinary::Exec(const ExecOptions& options, const base::Context& context) {
  ASSIGN_OR_RETURN(const Features features, GetFeatures(context));
  std::vector<std::string> rest = {"exec", "--process", options.process.string()};
  if (features.exec_waits_for_output) rest.insert(rest.end(), {"--detach", "--pid-file", "@"});
  if (!options.cgroup.empty()) rest.insert(rest.end(), {"--cgroup", options.cgroup});
  if (!options.console_socket.empty()) rest.insert(rest.end(), {"--console-socket", options.console_socket});
  rest.push_back(options.id);
  base::SpawnOptions spawn{.program = options_.path,
                           .arguments = Command(std::move(rest), options.log_file),
                           .environment = Environment(context)};
  if (features.exec_waits_for_output) {
    spawn.program = options_.helper;
    spawn.arguments.insert(spawn.arguments.begin(), {"berth-helper", "adopt", options.scratch.string()});
  }
  const int given[] = {options.standard_input, options.standard_output, options.standard_error};
  for (int target = 0; target < 3; ++target) {
    if (given[target] >= 0) spawn.fds.emplace_back(given[target], target);
  }
  ASSIGN_OR_RETURN(base::Child child, base::Spawn(spawn), "runtime ", options_.name, ": exec ", options.id);
  return child;
}

base::Status RuntimeBinary::Update(const std::string& id, std::string_view resources, const base::Context& context) {
  if (auto done = RunCommand({"update", "--resources", "-", id}, std::string(resources), context); !done)
    return tl::make_unexpected(Explain(std::move(done).error(), "update", id));
  return {};
}

base::Status RuntimeBinary::Checkpoint(const CheckpointOptions& options, const base::Context& context) {
  std::vector<std::string> rest = {"checkpoint",  "--leave-running",    "--image-path", options.images.string(),
                                   "--work-path", options.work.string()};
  rest.insert(rest.end(), std::begin(kCriuOptions), std::end(kCriuOptions));
  rest.push_back(options.id);
  const auto fail = [&](base::Error error) {
    return tl::make_unexpected(Explain(std::move(error), "checkpoint", options.id));
  };
  ASSIGN_OR_RETURN(base::Pipe errors, base::MakePipe());
  ASSIGN_OR_RETURN(base::Child child, base::Spawn({.program = options_.path,
                                                   .arguments = Command(std::move(rest)),
                                                   .environment = Environment(context),
                                                   .fds = {{errors.write.get(), 2}}}));
  errors.write.Reset();
  auto done = base::Collect(child, {}, {}, std::move(errors.read), {}, context, "checkpoint");
  if (done && done->exit.code == 0) return {};
  if (!done) {
    // Not its group: a CRIU that is killed leaves the container's processes stopped, or running its own code. Without
    // the runtime it gives up at the next word with it, and lets them go.
    (void)child.Signal(SIGKILL);
    (void)child.Wait(base::Context().WithTimeout(kKillTime), "runtime");
    return fail(std::move(done).error());
  }
  std::string message = ErrorText(done->errors);
  if (message.empty()) message = done->exit.Text();
  return fail({.code = base::Code::kInternal, .message = std::move(message)});
}

base::Result<Features> RuntimeBinary::GetFeatures(const base::Context& context) {
  if (const auto known = *features_.Lock()) return *known;
  const std::string what = base::Cat("runtime ", options_.name);
  ASSIGN_OR_RETURN(const std::string version, RunCommand({"--version"}, {}, context), what, ": version");
  auto features = RunCommand({"features"}, {}, context);
  // Releases without the command fail with a message of their own; an ended context is the caller's.
  if (!features && features.error().code != base::Code::kInternal)
    return tl::make_unexpected(base::Wrap(std::move(features).error(), what, ": features"));
  ASSIGN_OR_RETURN(Features out, ParseFeatures(version, features.value_or(""), base::Cat(what, ": features")));
  out.recursive_read_only = out.recursive_read_only && KernelSetsOptionsOfTrees();
  *features_.Lock() = std::make_shared<const Features>(out);
  return out;
}

}  // namespace berth::oci
