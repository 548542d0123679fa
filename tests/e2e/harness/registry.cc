#include "tests/e2e/harness/registry.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "base/file.h"
#include "tests/e2e/harness/paths.h"

namespace berth::e2e {
namespace {

using base::Cat;
using base::Path;
using base::Result;
using base::Status;
using namespace std::chrono_literals;

bool Connects(int port) {
  base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{.sin_family = AF_INET,
                      .sin_port = htons(static_cast<uint16_t>(port)),
                      .sin_addr = {htonl(INADDR_LOOPBACK)},
                      .sin_zero = {}};
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

}  // namespace

Result<std::unique_ptr<Registry>> Registry::Start(const Options& given) {
  const auto& [folder, port, shared, http, auth] = given;
  RETURN_IF_ERROR(base::MakeDirs(folder));
  const char* ready = shared.empty() ? ::getenv("BERTH_E2E_REGISTRY_DATA") : nullptr;
  const Path data = !shared.empty() ? shared : ready ? Path(ready) : folder / "data";
  const std::string config =
      Cat("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage:\n  filesystem: {rootdirectory: ",
          data.string(), "}\n  delete: {enabled: true}\nhttp: {addr: '127.0.0.1:", port, "'", http.empty() ? "" : ", ",
          http, "}\n", auth.empty() ? "" : "auth: ", auth, "\n");
  RETURN_IF_ERROR(base::WriteFile(folder / "config.yml", config));
  ASSIGN_OR_RETURN(base::UniqueFd log, base::Open(folder / "log", O_WRONLY | O_CREAT | O_APPEND, 0644));
  base::SpawnOptions options{.program = "/usr/bin/docker-registry",
                             .arguments = {"docker-registry", "serve", (folder / "config.yml").string()},
                             .environment = {"OTEL_TRACES_EXPORTER=none", "PATH=/usr/bin:/bin"},
                             .fds = {{log.get(), 1}, {log.get(), 2}}};
  ASSIGN_OR_RETURN(base::Child child, base::Spawn(options), "start docker-registry");
  // It has no way to say that it listens, so its port is tried until it does.
  for (auto end = base::Monotonic::now() + 30s; !Connects(port); std::this_thread::sleep_for(10ms)) {
    pollfd ended{.fd = child.pidfd(), .events = POLLIN, .revents = 0};
    if (::poll(&ended, 1, 0) > 0 || base::Monotonic::now() > end) {
      auto text = base::ReadFile(folder / "log");
      return base::Fail(base::Code::kInternal, "docker-registry does not listen: ", text ? *text : "no log");
    }
  }
  return std::unique_ptr<Registry>(new Registry(data, port, std::move(child), ready != nullptr));
}

int Registry::FreePort() {
  base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  socklen_t length = sizeof(address);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) != 0) return 0;
  ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.sin_port);
}

Status Registry::PushImages() const {
  if (images_ready_) return {};
  base::RunOptions options{.spawn = {.program = "/usr/bin/python3",
                                     .arguments = {"python3", ImagesScript().string(), host(), data_.string()},
                                     .environment = {"PATH=/usr/bin:/bin:/usr/sbin:/sbin"}}};
  ASSIGN_OR_RETURN(base::RunResult run, base::Run(std::move(options), base::Context().WithTimeout(180s)));
  if (run.exit.code != 0) return base::Fail(base::Code::kInternal, "images.py: ", run.exit.Text(), ": ", run.errors);
  return {};
}

std::string Registry::host() const {
  return Cat("127.0.0.1:", port_);
}
std::string Registry::Name(const std::string& name) const {
  return Cat(host(), "/e2e/", name);
}

}  // namespace berth::e2e
