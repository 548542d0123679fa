#include "tests/e2e/harness/streaming.h"

#include <poll.h>

#include <filesystem>
#include <regex>

#include "base/strings.h"
#include "tests/e2e/harness/paths.h"

namespace berth::e2e {
namespace {

constexpr auto kSoon = std::chrono::seconds(30);

template <typename Request, typename Wanted>
void Fill(Request& request, const std::string& container, const Wanted& wanted) {
  request.set_container_id(container);
  request.set_tty(wanted.tty);
  request.set_stdin(wanted.input);
  request.set_stdout(true);
  request.set_stderr(wanted.errors);
}

}  // namespace

void StreamingNode::SetUp() {
  OnRuntime::SetUp();
  if (!IsSkipped() && !base::Exists(SpdyPeer()))
    GTEST_SKIP() << "golang-go and golang-github-docker-spdystream-dev are not installed";
}

std::string StreamingNode::ExecUrl(const std::string& container, const std::vector<std::string>& command,
                                   const Wanted& wanted) {
  v1::ExecRequest request;
  Fill(request, container, wanted);
  request.mutable_cmd()->Assign(command.begin(), command.end());
  const auto reply = cri().Call(&v1::RuntimeService::Stub::Exec, request);
  EXPECT_CALL_OK(reply);
  return reply->url();
}

std::string StreamingNode::AttachUrl(const std::string& container, const Wanted& wanted) {
  v1::AttachRequest request;
  Fill(request, container, wanted);
  const auto reply = cri().Call(&v1::RuntimeService::Stub::Attach, request);
  EXPECT_CALL_OK(reply);
  return reply->url();
}

std::string StreamingNode::ForwardUrl(const std::string& pod) {
  v1::PortForwardRequest request;
  request.set_pod_sandbox_id(pod);
  const auto reply = cri().Call(&v1::RuntimeService::Stub::PortForward, request);
  EXPECT_CALL_OK(reply);
  return reply->url();
}

std::vector<std::string> StreamingNode::Flags(const Wanted& wanted) {
  std::vector<std::string> out;
  if (wanted.tty) out.emplace_back("-t");
  if (wanted.input) out.emplace_back("-i");
  if (wanted.errors) out.emplace_back("-e");
  return out;
}

base::SpawnOptions StreamingNode::PeerCommand(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "peer");
  return {.program = SpdyPeer(), .arguments = std::move(arguments), .environment = {"PATH=/usr/bin"}};
}

StreamingNode::Ended StreamingNode::Peer(std::vector<std::string> arguments, const std::string& input,
                                         std::chrono::seconds limit) {
  const base::Path status = folder() / base::Cat("status-", base::RandomId().substr(0, 8));
  if (arguments.at(0) == "remote") arguments.insert(arguments.begin() + 1, {"-status", status.native()});
  auto ran = base::Run({.spawn = PeerCommand(std::move(arguments)), .input = input, .output_limit = 16 << 20},
                       base::Context().WithTimeout(limit));
  EXPECT_TRUE(ran) << ran.error().Text();
  if (!ran) return {};
  Ended out{.output = ran->output, .errors = ran->errors, .code = ran->exit.code};
  if (auto text = base::ReadFile(status)) out.status = *text;
  (void)base::RemoveFile(status);
  return out;
}

StreamingNode::Ended StreamingNode::Remote(const std::string& url, const Wanted& wanted, const std::string& input,
                                           const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"remote"};
  for (auto& flag : Flags(wanted)) arguments.push_back(flag);
  arguments.insert(arguments.end(), more.begin(), more.end());
  arguments.push_back(url);
  return Peer(std::move(arguments), input);
}

bool StreamingNode::Beside::Read(const std::string& wanted) {
  const auto context = base::Context().WithTimeout(kSoon);
  while (text.find(wanted) == std::string::npos) {
    if (!context.Wait(output.get(), POLLIN, "output")) return false;
    char piece[4096];
    const ssize_t got = read(output.get(), piece, sizeof piece);
    if (got <= 0) return false;
    text.append(piece, static_cast<size_t>(got));
  }
  return true;
}

StreamingNode::Beside StreamingNode::Start(base::SpawnOptions spawn) {
  auto input = base::MakePipe();
  auto output = base::MakePipe();
  spawn.fds = {{input->read.get(), 0}, {output->write.get(), 1}};
  auto child = base::Spawn(spawn);
  EXPECT_TRUE(child) << child.error().Text();
  return {.child = *std::move(child), .output = std::move(output->read), .input = std::move(input->write)};
}

base::SpawnOptions StreamingNode::Berth(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"berth", "--socket", "unix://" + daemon().socket().native()});
  return {.program = BerthClient(), .arguments = std::move(arguments), .environment = {"PATH=/usr/bin"}};
}

base::ExitStatus StreamingNode::WaitFor(base::Child& child) {
  const auto ended = child.Wait(base::Context().WithTimeout(kSoon), "client");
  EXPECT_TRUE(ended) << ended.error().Text();
  return ended ? *ended : base::ExitStatus{.code = -1};
}

std::string StreamingNode::Running(const Made& made, const std::string& text) {
  return cri().Exec(made.container, Sh("ps -o args | grep -- '" + text + "' | grep -v grep || :"))->stdout();
}

std::string StreamingNode::PidOf(const Made& made) {
  v1::ContainerStatusRequest request;
  request.set_container_id(made.container);
  request.set_verbose(true);
  const auto reply = cri().Call(&v1::RuntimeService::Stub::ContainerStatus, request);
  EXPECT_CALL_OK(reply);
  const std::string info = reply->info().at("info");
  std::smatch pid;
  EXPECT_TRUE(std::regex_search(info, pid, std::regex(R"("pid": *(\d+))"))) << info;
  return pid[1];
}

std::string StreamingNode::Zombies(const Made& made) {
  return cri().Exec(made.container, Sh("grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null || :"))->stdout();
}

StreamingNode::Held StreamingNode::DaemonHolds() {
  const std::string process = base::Cat("/proc/", daemon().pid());
  Held out{.threads = base::ListFolder(process + "/task")->size()};
  const auto descriptors = base::ListFolder(process + "/fd");
  for (const auto& name : *descriptors) {
    std::error_code gone;
    const std::string what = std::filesystem::read_symlink(base::Path(process) / "fd" / name, gone).native();
    if (what.starts_with("/sys/fs/cgroup/")) continue;  // the sampler's, which comes by when it likes
    ++out.descriptors;
    if (what.starts_with("socket:")) ++out.sockets;
  }
  return out;
}

size_t StreamingNode::DaemonMemoryKiB() {
  const auto text = base::ReadFile(base::Cat("/proc/", daemon().pid(), "/status"));
  const size_t at = text ? text->find("VmRSS:") : std::string::npos;
  return at == std::string::npos ? 0 : std::stoul(text->substr(at + 6));
}

void SleepingNode::SetUp() {
  StreamingNode::SetUp();
  if (!IsSkipped() && !HasFatalFailure()) made_ = Sleeper();
}

}  // namespace berth::e2e
