#include "tests/e2e/harness/daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "tests/e2e/harness/paths.h"

namespace berth::e2e {
namespace {

using base::Cat;
using base::Code;
using base::Fail;
using base::FailErrno;
using base::Path;
using base::Result;
using base::Status;
using namespace std::chrono_literals;

Result<base::UniqueFd> BindNotify(const Path& path) {
  RETURN_IF_ERROR(base::RemoveFile(path));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  base::UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return FailErrno(errno, "socket");
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return FailErrno(errno, "bind ", path.string());
  }
  return fd;
}

// True once READY=1 came, false when the child ended first.
Result<bool> WaitReady(int notify, int pidfd, std::chrono::milliseconds limit) {
  for (auto end = base::Monotonic::now() + limit;;) {
    pollfd fds[] = {{.fd = notify, .events = POLLIN, .revents = 0}, {.fd = pidfd, .events = POLLIN, .revents = 0}};
    int count = ::poll(fds, 2, base::PollTimeout(end));
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) return Fail(Code::kDeadlineExceeded, "no READY=1 within ", limit.count(), " ms");
    if (fds[0].revents & POLLIN) {
      char text[4096];
      ssize_t length = ::recv(notify, text, sizeof(text), MSG_DONTWAIT);
      if (length > 0 && std::string_view(text, static_cast<size_t>(length)).find("READY=1") != std::string_view::npos)
        return true;
      continue;
    }
    if (fds[1].revents) return false;
  }
}

// {"a", "1"}, {"b.c", "2"}, {"b.d", "3"} as YAML; the map's order keeps a section's keys together.
std::string AsYaml(const std::map<std::string, std::string>& settings) {
  std::string text;
  std::string section;
  for (const auto& [key, value] : settings) {
    size_t dot = key.find('.');
    if (dot == std::string::npos) {
      text += Cat(key, ": ", value, "\n");
      continue;
    }
    if (key.substr(0, dot) != section) {
      section = key.substr(0, dot);
      text += Cat(section, ":\n");
    }
    text += Cat("  ", key.substr(dot + 1), ": ", value, "\n");
  }
  return text;
}

}  // namespace

Daemon::Daemon(Options options) : options_(std::move(options)) {}

Daemon::~Daemon() {
  if (child_) (void)Kill();
}

std::string Daemon::Log(size_t last_bytes) const {
  auto text = base::ReadFile(log_file(), 64 << 20);
  if (!text) return text.error().Text();
  return text->size() > last_bytes ? text->substr(text->size() - last_bytes) : *text;
}

std::string Daemon::NetworkList(const std::string& first) const {
  return Cat(R"({"cniVersion":"1.0.0","name":"e2e","plugins":[)", first, first.empty() ? "" : ",",
             R"({"type":"bridge","bridge":"e2e0","isGateway":true,"ipMasq":)", options_.masquerade ? "true" : "false",
             R"(,"hairpinMode":true,"ipam":{"type":"host-local","dataDir":")", address_folder().string(),
             R"(","ranges":[[{"subnet":"10.88.0.0/16"}]],"routes":[{"dst":"0.0.0.0/0"}]}},)",
             R"({"type":"portmap","capabilities":{"portMappings":true}}]})");
}

Status Daemon::WriteRuntime(const std::string& name, const std::string& script) const {
  Path real = OciRuntime("crun").empty() ? OciRuntime("runc") : OciRuntime("crun");
  return base::WriteFile(runtime_script(name), Cat("#!/bin/sh\nREAL=", real.string(), "\n", script, "\n"), 0755);
}

Status Daemon::WriteFiles() const {
  for (const Path& folder : {options_.folder, options_.state_root, options_.run_root, net_folder(), plugin_folder()}) {
    RETURN_IF_ERROR(base::MakeDirs(folder));
  }
  RETURN_IF_ERROR(base::WriteFile(net_folder() / "10-e2e.conflist", NetworkList(), 0644));
  RETURN_IF_ERROR(WriteRuntime("scripted", "exec $REAL \"$@\""));
  std::map<std::string, std::string> settings{
      {"state_root", options_.state_root.string()},
      {"run_root", options_.run_root.string()},
      {"grpc.socket", socket().string()},
      {"cgroup.driver", options_.systemd ? "systemd" : "cgroupfs"},
      {"network.conf_dir", net_folder().string()},
      {"network.bin_dirs", Cat("[", plugin_folder().string(), ", /usr/lib/cni]")},
      {"runtimes.scripted", Cat("{path: ", runtime_script("scripted").string(), "}")},
      {"image.attempts", "2"}};
  for (const auto& [key, value] : options_.settings) settings.insert_or_assign(key, value);
  return base::WriteFile(config_file(), AsYaml(settings), 0644);
}

Status Daemon::Start() {
  Path notify_path = options_.run_root.parent_path() / "notify";
  ASSIGN_OR_RETURN(base::UniqueFd notify, BindNotify(notify_path));
  ASSIGN_OR_RETURN(base::UniqueFd log, base::Open(log_file(), O_WRONLY | O_CREAT | O_APPEND, 0644));
  base::SpawnOptions spawn{
      .program = Berthd(),
      .arguments = {"berthd", "--config", config_file().string()},
      .environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", Cat("NOTIFY_SOCKET=", notify_path.string())},
      .fds = {{log.get(), 1}, {log.get(), 2}}};
  if (const char* options = ::getenv("ASAN_OPTIONS")) spawn.environment.push_back(Cat("ASAN_OPTIONS=", options));
  ASSIGN_OR_RETURN(base::Child child, base::Spawn(spawn), "start berthd");
  auto ready = WaitReady(notify.get(), child.pidfd(), 180s);
  if (ready && *ready) {
    child_ = std::move(child);
    return {};
  }
  if (!ready) return Fail(Code::kDeadlineExceeded, ready.error().Text(), "; its log ends with:\n", Log());
  ASSIGN_OR_RETURN(base::ExitStatus exit, child.Wait(base::Context().WithTimeout(5s), "berthd"));
  return Fail(Code::kInternal, "berthd ended at its start with ", exit.Text(), "; its log ends with:\n", Log());
}

Status Daemon::Stop() {
  if (!child_) return Fail(Code::kFailedPrecondition, "berthd does not run");
  RETURN_IF_ERROR(child_->Signal(SIGTERM));
  ASSIGN_OR_RETURN(base::ExitStatus exit, child_->Wait(base::Context().WithTimeout(90s), "berthd after SIGTERM"));
  child_.reset();
  if (exit.code != 0) return Fail(Code::kInternal, "berthd ended with ", exit.Text(), "; its log ends with:\n", Log());
  return {};
}

Status Daemon::Kill() {
  if (!child_) return Fail(Code::kFailedPrecondition, "berthd does not run");
  RETURN_IF_ERROR(child_->Signal(SIGKILL));
  RETURN_IF_ERROR(child_->Wait(base::Context().WithTimeout(90s), "berthd after SIGKILL"));
  child_.reset();
  return {};
}

}  // namespace berth::e2e
