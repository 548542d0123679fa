#include "oci/fake_runtime.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>

#include <cerrno>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "json/json.h"

namespace berth::oci {
namespace {

// Arguments: pid file, FIFO that Start writes to, log file, error text or nothing, command, checkpoint to restore or
// nothing: then nothing waits for Start. The FIFO is the exec.fifo
// of real runtimes: after create the process exists and waits there. It is opened for both ways before the fork, so
// that Start finds a reader at any time.
constexpr const char* kCreateScript =
    "if [ -n \"$4\" ]; then echo \"$4\" >\"$3\"; exit 1; fi\n"
    "mkfifo \"$2\" && exec 3<>\"$2\" || exit 1\n"
    "if [ -n \"$6\" ]; then [ -s \"$6/inventory.img\" ] || exit 1; : >\"$2.started\"; echo go >&3; fi\n"
    "/bin/sh -c 'read go <&3; exec 3<&-; eval \"$0\"' \"$5\" &\n"
    "echo $! >\"$2.pid\"; echo $! >\"$1\"\n";

base::Path Fifo(const base::Path& folder, const std::string& id) {
  return folder / id;
}
base::Path Started(const base::Path& fifo) {
  return fifo.string() + ".started";
}

base::Result<pid_t> ReadPid(const base::Path& fifo) {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(fifo.string() + ".pid"));
  const auto pid = base::ParseInt(base::Trim(text));
  if (!pid || *pid <= 1) return base::Fail(base::Code::kInternal, fifo.string(), ".pid: no pid");
  return static_cast<pid_t>(*pid);
}

bool Alive(pid_t pid) {
  // A zombie has ended as far as a runtime is concerned.
  const auto stat = base::ReadFile(base::Cat("/proc/", pid, "/stat"));
  if (!stat) return false;
  const size_t end = stat->rfind(')');
  return end != std::string::npos && end + 2 < stat->size() && (*stat)[end + 2] != 'Z' && (*stat)[end + 2] != 'X';
}

}  // namespace

FakeRuntime::FakeRuntime(base::Path folder, std::string command)
    : folder_(std::move(folder)), command_(std::move(command)) {}

void FakeRuntime::Fail(const std::string& verb, std::optional<base::Error> error) {
  auto shared = shared_.Lock();
  shared->failures.erase(verb);
  if (error) shared->failures.emplace(verb, *std::move(error));
}

std::vector<std::string> FakeRuntime::Calls() const {
  return shared_.Lock()->calls;
}
void FakeRuntime::SetFeatures(Features features) {
  shared_.Lock()->features = std::move(features);
}

base::Status FakeRuntime::Record(const std::string& verb, const std::string& rest) const {
  auto shared = shared_.Lock();
  shared->calls.push_back(base::Cat(verb, rest.empty() ? "" : " ", rest));
  const auto failure = shared->failures.find(verb);
  if (failure != shared->failures.end()) return tl::make_unexpected(failure->second);
  return {};
}

std::vector<std::string> FakeRuntime::CreateArguments(const CreateOptions& options) const {
  const auto fails = Record(options.checkpoint.empty() ? "create" : "restore", options.id);
  return {"/bin/sh",
          "-c",
          kCreateScript,
          "fake-runtime",
          options.pid_file.string(),
          Fifo(folder_, options.id).string(),
          options.log_file.string(),
          fails ? std::string() : fails.error().message,
          command_,
          options.checkpoint.string()};
}

std::vector<std::string> FakeRuntime::Environment(const base::Context&) const {
  return {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
}

base::Status FakeRuntime::Start(const std::string& id, const base::Context&) {
  RETURN_IF_ERROR(Record("start", id));
  const base::Path fifo = Fifo(folder_, id);
  if (base::Exists(Started(fifo))) return base::Fail(base::Code::kInternal, "start ", id, ": started before");
  auto opened = base::Open(fifo, O_WRONLY | O_NONBLOCK);  // without a reader ENXIO: the process has ended
  if (!opened) {
    if (opened.error().err == ENOENT) opened.error().code = base::Code::kNotFound;
    return tl::make_unexpected(std::move(opened).error());
  }
  RETURN_IF_ERROR(base::WriteFile(Started(fifo), {}));
  return base::WriteAll(opened->get(), "go\n", "start");
}

base::Status FakeRuntime::Kill(const std::string& id, int signal, bool, const base::Context&) {
  RETURN_IF_ERROR(Record("kill", base::Cat(id, " ", signal)));
  const auto pid = ReadPid(Fifo(folder_, id));
  if (!pid || !Alive(*pid)) return {};
  ASSIGN_OR_RETURN(const base::UniqueFd pidfd, base::OpenPidfd(*pid));
  return base::SignalPidfd(pidfd.get(), signal);
}

base::Status FakeRuntime::Delete(const std::string& id, bool force, const base::Context& context) {
  RETURN_IF_ERROR(Record("delete", id));
  const base::Path fifo = Fifo(folder_, id);
  if (const auto pid = ReadPid(fifo); pid && Alive(*pid)) {
    if (!force) return base::Fail(base::Code::kFailedPrecondition, "delete ", id, ": still running");
    ASSIGN_OR_RETURN(const base::UniqueFd pidfd, base::OpenPidfd(*pid));
    RETURN_IF_ERROR(base::SignalPidfd(pidfd.get(), SIGKILL));
    ASSIGN_OR_RETURN(const bool ended, context.Wait(pidfd.get(), POLLIN, "end of the process"));
    (void)ended;
  }
  RETURN_IF_ERROR(base::RemoveFile(fifo.string() + ".pid"));
  RETURN_IF_ERROR(base::RemoveFile(Started(fifo)));
  return base::RemoveFile(fifo);
}

base::Result<State> FakeRuntime::GetState(const std::string& id, const base::Context&) {
  RETURN_IF_ERROR(Record("state", id));
  const base::Path fifo = Fifo(folder_, id);
  if (!base::Exists(fifo)) return base::Fail(base::Code::kNotFound, "state ", id, ": no such container");
  ASSIGN_OR_RETURN(const pid_t pid, ReadPid(fifo));
  if (!Alive(pid)) return State{.phase = Phase::kStopped};
  return State{.phase = base::Exists(Started(fifo)) ? Phase::kRunning : Phase::kCreated, .pid = pid};
}

base::Result<base::Child> FakeRuntime::Exec(const ExecOptions& options, const base::Context&) {
  RETURN_IF_ERROR(Record("exec", options.id));
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(options.process));
  ASSIGN_OR_RETURN(const nlohmann::json process, json::Parse(text, "process"));
  ASSIGN_OR_RETURN(std::vector<std::string> arguments, json::Strings(process, "args", "process"));
  if (arguments.empty()) return base::Fail(base::Code::kInvalidArgument, "process: no args");
  base::SpawnOptions spawn{.program = arguments[0], .environment = Environment({})};
  spawn.arguments = std::move(arguments);
  const int given[] = {options.standard_input, options.standard_output, options.standard_error};
  for (int target = 0; target < 3; ++target) {
    if (given[target] >= 0) spawn.fds.emplace_back(given[target], target);
  }
  return base::Spawn(spawn);
}

base::Status FakeRuntime::Update(const std::string& id, std::string_view resources, const base::Context&) {
  return Record("update", base::Cat(id, " ", resources));
}

base::Status FakeRuntime::Checkpoint(const CheckpointOptions& options, const base::Context&) {
  RETURN_IF_ERROR(
      base::WriteFile(options.work / "dump.log", "(00.1) all is well\n(00.2) Error (criu/a.c:1): no luck\n"));
  RETURN_IF_ERROR(Record("checkpoint", options.id));
  RETURN_IF_ERROR(base::WriteFile(options.work / "stats-dump", "figures"));
  RETURN_IF_ERROR(base::WriteFile(options.images / "pages-1.img", std::string(10'000, 'p')));
  return base::WriteFile(options.images / "inventory.img", "inventory");
}

base::Result<Features> FakeRuntime::GetFeatures(const base::Context&) {
  RETURN_IF_ERROR(Record("features", {}));
  return shared_.Lock()->features;
}

std::shared_ptr<const Features> FakeRuntime::KnownFeatures() const {
  return std::make_shared<const Features>(shared_.Lock()->features);
}

}  // namespace berth::oci
