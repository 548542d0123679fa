// Exec, attach and port-forward through clients: one that is not ours (peer/main.go), and berth itself.
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <regex>
#include <thread>

#include "base/strings.h"
#include "tests/e2e/harness/fixture.h"
#include "tests/e2e/harness/listener.h"
#include "tests/e2e/harness/paths.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;
using testing::Not;

// Calls for URLs, and clients that use them.
class StreamingNode : public OnRuntime {
 protected:
  void SetUp() override {
    OnRuntime::SetUp();
    if (!IsSkipped() && !base::Exists(SpdyPeer()))
      GTEST_SKIP() << "golang-go and golang-github-docker-spdystream-dev are not installed";
  }
  struct Wanted {
    bool tty = false;
    bool input = false;
    bool errors = false;
  };
  template <typename Request>
  static void Fill(Request& request, const std::string& container, const Wanted& wanted) {
    request.set_container_id(container);
    request.set_tty(wanted.tty);
    request.set_stdin(wanted.input);
    request.set_stdout(true);
    request.set_stderr(wanted.errors);
  }
  std::string ExecUrl(const std::string& container, const std::vector<std::string>& command, const Wanted& wanted) {
    v1::ExecRequest request;
    Fill(request, container, wanted);
    request.mutable_cmd()->Assign(command.begin(), command.end());
    const auto reply = cri().Call(&v1::RuntimeService::Stub::Exec, request);
    EXPECT_CALL_OK(reply);
    return reply->url();
  }
  std::string AttachUrl(const std::string& container, const Wanted& wanted) {
    v1::AttachRequest request;
    Fill(request, container, wanted);
    const auto reply = cri().Call(&v1::RuntimeService::Stub::Attach, request);
    EXPECT_CALL_OK(reply);
    return reply->url();
  }
  std::string ForwardUrl(const std::string& pod) {
    v1::PortForwardRequest request;
    request.set_pod_sandbox_id(pod);
    const auto reply = cri().Call(&v1::RuntimeService::Stub::PortForward, request);
    EXPECT_CALL_OK(reply);
    return reply->url();
  }
  static std::vector<std::string> Flags(const Wanted& wanted) {
    std::vector<std::string> out;
    if (wanted.tty) out.emplace_back("-t");
    if (wanted.input) out.emplace_back("-i");
    if (wanted.errors) out.emplace_back("-e");
    return out;
  }

  struct Ended {
    std::string output;
    std::string errors;
    std::string status;  // the error stream
    int code = -1;
  };
  base::SpawnOptions PeerCommand(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "peer");
    return {.program = SpdyPeer(), .arguments = std::move(arguments), .environment = {"PATH=/usr/bin"}};
  }
  Ended Peer(std::vector<std::string> arguments, const std::string& input = {},
             std::chrono::seconds limit = std::chrono::seconds(120)) {
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
  Ended Remote(const std::string& url, const Wanted& wanted, const std::string& input = {},
               std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"remote"};
    for (auto& flag : Flags(wanted)) arguments.push_back(flag);
    arguments.insert(arguments.end(), more.begin(), more.end());
    arguments.push_back(url);
    return Peer(std::move(arguments), input);
  }
  // A peer that goes on beside the test; its output comes through the pipe.
  struct Beside {
    base::Child child;
    base::UniqueFd output;
    base::UniqueFd input;
    std::string text;
    // Until the output has `wanted`.
    bool Read(const std::string& wanted) {
      const auto context = base::Context().WithTimeout(std::chrono::seconds(30));
      while (text.find(wanted) == std::string::npos) {
        if (!context.Wait(output.get(), POLLIN, "output")) return false;
        char piece[4096];
        const ssize_t got = read(output.get(), piece, sizeof piece);
        if (got <= 0) return false;
        text.append(piece, static_cast<size_t>(got));
      }
      return true;
    }
  };
  Beside Start(base::SpawnOptions spawn) {
    auto input = base::MakePipe();
    auto output = base::MakePipe();
    spawn.fds = {{input->read.get(), 0}, {output->write.get(), 1}};
    auto child = base::Spawn(spawn);
    EXPECT_TRUE(child) << child.error().Text();
    return {.child = *std::move(child), .output = std::move(output->read), .input = std::move(input->write)};
  }

  Made Sleeper() { return RunContainer(Sh("trap 'exit 0' TERM; while :; do sleep 0.1; done")); }
  std::string Running(const Made& made, const std::string& text) {
    return cri().Exec(made.container, Sh("ps -o args | grep -- '" + text + "' | grep -v grep || :"))->stdout();
  }
  std::string PidOf(const Made& made) {
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
  // Processes of the pod that nobody has reaped.
  std::string Zombies(const Made& made) {
    return cri().Exec(made.container, Sh("grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null || :"))->stdout();
  }
  size_t MemoryKiB() {
    const auto text = base::ReadFile(base::Cat("/proc/", daemon().pid(), "/status"));
    const size_t at = text ? text->find("VmRSS:") : std::string::npos;
    return at == std::string::npos ? 0 : std::stoul(text->substr(at + 6));
  }
  size_t Descriptors() { return base::ListFolder(base::Cat("/proc/", daemon().pid(), "/fd"))->size(); }
};

class StreamingExec : public StreamingNode {
 protected:
  void SetUp() override {
    StreamingNode::SetUp();
    if (!IsSkipped() && !HasFatalFailure()) made_ = Sleeper();
  }
  Ended Exec(const std::string& script, const Wanted& wanted = {.errors = true}, const std::string& input = {},
             std::vector<std::string> more = {}) {
    return Remote(ExecUrl(made_.container, Sh(script), wanted), wanted, input, std::move(more));
  }
  Made made_;
};
ON_EVERY_RUNTIME(StreamingExec);

TEST_P(StreamingExec, GivesBothStreamsAndTheCode) {
  const Ended ended = Exec("echo out; echo err >&2; exit 42");
  EXPECT_EQ(ended.output, "out\n");
  EXPECT_EQ(ended.errors, "err\n");
  EXPECT_THAT(ended.status, HasSubstr(R"("causes":[{"message":"42","reason":"ExitCode"}])"));
  EXPECT_THAT(Exec("kill -9 $$").status, HasSubstr(R"("message":"137")"));
  EXPECT_EQ(Exec("true").status, R"({"metadata":{},"status":"Success"})");
}

TEST_P(StreamingExec, EveryVersionOfTheProtocolWorks) {
  for (const char* version : {"channel.k8s.io", "v2.channel.k8s.io", "v3.channel.k8s.io", "v4.channel.k8s.io"}) {
    const Ended ended = Exec("cat; exit 5", {.input = true}, "text", {"-protocol", version});
    EXPECT_EQ(ended.output, "text") << version;
    EXPECT_THAT(ended.status, HasSubstr("non-zero exit code: exit code 5")) << version;
  }
}

TEST_P(StreamingExec, EndOfInputReachesTheProcess) {
  EXPECT_EQ(Exec("cat; echo end", {.input = true}, "text\n").output, "text\nend\n");
}

TEST_P(StreamingExec, TerminalHasItsSizeAndOneStream) {
  const Ended ended =
      Exec("until [ \"$(stty size)\" = '33 91' ]; do sleep 0.05; done; tty; echo $TERM; echo err >&2; exit 3",
           {.tty = true}, "", {"-size", "{\"Width\":91,\"Height\":33}\n"});
  EXPECT_THAT(ended.output, HasSubstr("/dev/pts/"));
  EXPECT_THAT(ended.output, HasSubstr("xterm\r\nerr\r\n"));
  EXPECT_THAT(ended.status, HasSubstr("exit code 3"));
}

TEST_P(StreamingExec, TerminalEchoesWhatIsTyped) {
  const Ended ended = Exec("read x; echo got $x", {.tty = true, .input = true}, "hello\n");
  EXPECT_EQ(ended.output, "hello\r\ngot hello\r\n");
}

TEST_P(StreamingExec, ProgramThatDoesNotExistIsTold) {
  for (const bool tty : {false, true}) {
    const Wanted wanted{.tty = tty};
    const Ended ended = Remote(ExecUrl(made_.container, {"/no/such/program"}, wanted), wanted);
    EXPECT_THAT(ended.status, HasSubstr("\"Failure\"")) << tty;
    EXPECT_THAT(ended.status, testing::AnyOf(HasSubstr("no such file or directory"),
                                             HasSubstr("No such file or directory"), HasSubstr(R"("message":"127")")))
        << tty;
  }
}

TEST_P(StreamingExec, ChildThatKeepsTheOutputIsNotWaitedForAndLivesOn) {
  const Ended ended = Exec("sleep 6543 & echo done");
  EXPECT_EQ(ended.output, "done\n");
  EXPECT_EQ(Running(made_, "sleep 6543"), "sleep 6543\n");
}

TEST_P(StreamingExec, ClientThatIsKilledLeavesNothingBehind) {
  for (const bool tty : {false, true}) {
    const Wanted wanted{.tty = tty, .input = true};
    std::vector<std::string> arguments = {"remote"};
    for (auto& flag : Flags(wanted)) arguments.push_back(flag);
    arguments.push_back(ExecUrl(made_.container, Sh("echo ready; cat; sleep 0.2; echo to nobody"), wanted));
    Beside peer = Start(PeerCommand(arguments));
    ASSERT_TRUE(peer.Read("ready"));
    EXPECT_THAT(Running(made_, "echo ready"), Not(testing::IsEmpty()));
    peer.child.KillGroup();
    ASSERT_TRUE(peer.child.Wait(base::Context(), "peer"));
    EXPECT_TRUE(Eventually([&] { return Running(made_, "echo ready").empty(); })) << "tty " << tty;
  }
  EXPECT_EQ(Zombies(made_), "");
}

TEST_P(StreamingExec, StopOfTheContainerEndsTheClient) {
  Beside peer = Start(PeerCommand({"remote", "-i", ExecUrl(made_.container, Sh("echo ready; cat"), {.input = true})}));
  ASSERT_TRUE(peer.Read("ready"));
  ASSERT_CALL_OK(cri().Stop(made_.container, 0));
  EXPECT_TRUE(peer.child.Wait(base::Context().WithTimeout(std::chrono::seconds(30)), "peer"));
}

TEST_P(StreamingExec, DaemonThatIsKilledLeavesProcessesThatEnd) {
  Beside peer = Start(
      PeerCommand({"remote", "-i", ExecUrl(made_.container, Sh("echo ready; cat > /dev/null"), {.input = true})}));
  ASSERT_TRUE(peer.Read("ready"));
  Restart();
  EXPECT_TRUE(peer.child.Wait(base::Context().WithTimeout(std::chrono::seconds(30)), "peer"));
  EXPECT_TRUE(Eventually([&] { return Running(made_, "echo ready").empty(); }));
  EXPECT_EQ(Zombies(made_), "");
  EXPECT_EQ(Exec("echo again").output, "again\n");
}

TEST_P(StreamingExec, RequestsAreChecked) {
  v1::ExecRequest request;
  const auto code = [&] { return cri().Call(&v1::RuntimeService::Stub::Exec, request); };
  EXPECT_EQ(code().code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(code().message(), "missing required container_id");
  request.set_container_id("nothing");
  request.add_cmd("true");
  EXPECT_EQ(code().message(), "one of stdin, stdout, or stderr must be set");
  request.set_stderr(true);
  request.set_tty(true);
  EXPECT_EQ(code().message(), "tty and stderr cannot both be true");
  request.set_tty(false);
  EXPECT_EQ(code().code(), grpc::StatusCode::NOT_FOUND);
  ASSERT_CALL_OK(cri().Stop(made_.container, 0));
  request.set_container_id(made_.container);
  EXPECT_EQ(code().code(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_P(StreamingExec, TwoHundredProbesAtOnceHoldUpNoOtherCall) {
  std::vector<std::thread> probes;
  std::vector<std::string> answers(200);
  for (size_t i = 0; i < answers.size(); ++i) {
    probes.emplace_back([&, i] { answers[i] = cri().Exec(made_.container, Sh("sleep 1; echo ok"), 60)->stdout(); });
  }
  std::chrono::nanoseconds slowest{0};
  for (int i = 0; i < 50; ++i) {
    const auto before = base::Monotonic::now();
    EXPECT_CALL_OK(cri().Status(made_.container));
    slowest = std::max<std::chrono::nanoseconds>(slowest, base::Monotonic::now() - before);
  }
  EXPECT_EQ(Exec("echo in between").output, "in between\n");
  for (std::thread& probe : probes) probe.join();
  for (const std::string& answer : answers) EXPECT_EQ(answer, "ok\n");
  EXPECT_LT(slowest, std::chrono::seconds(5));
  EXPECT_EQ(Zombies(made_), "");
}

class StreamingMuch : public StreamingExec {};
INSTANTIATE_TEST_SUITE_P(Runtimes, StreamingMuch, testing::Values(InstalledRuntimes().front()), RuntimeName);

TEST_P(StreamingMuch, GibibyteThereAndBack) {
  const Ended ended =
      Peer({"remote", "-i", "-sum", "-generate", "1073741824", ExecUrl(made_.container, {"cat"}, {.input = true})}, "",
           std::chrono::seconds(400));
  const auto words = base::Split(base::Trim(ended.output), ' ');
  ASSERT_EQ(words.size(), 6u) << ended.output << ended.errors;
  EXPECT_EQ(words[1], "1073741824");
  EXPECT_EQ(words[4], words[1]);
  EXPECT_EQ(words[5], words[2]);
  EXPECT_THAT(ended.status, HasSubstr("Success"));
}

TEST_P(StreamingMuch, StalledReaderCostsNoMemory) {
  Beside peer = Start(PeerCommand({"remote", ExecUrl(made_.container, Sh("echo ready; exec cat /dev/zero"), {})}));
  ASSERT_TRUE(peer.Read("ready"));
  ASSERT_TRUE(peer.child.Signal(SIGSTOP));
  const size_t before = MemoryKiB();
  // Long enough for gigabytes, if anybody took them.
  std::string moved;
  EXPECT_FALSE(Eventually([&] { return MemoryKiB() > before + (16 << 10); }, std::chrono::seconds(3)));
  peer.child.KillGroup();
  ASSERT_TRUE(peer.child.Wait(base::Context(), "peer"));
  EXPECT_FALSE(Running(made_, "cat /dev/zero").empty());  // as Kubernetes expects: nobody killed it
}

class StreamingAttach : public StreamingNode {};
ON_EVERY_RUNTIME(StreamingAttach);

TEST_P(StreamingAttach, ClientsSeeWhatIsWrittenFromThenOn) {
  Made made = RunContainer(Sh("echo before; read x; echo out $x; echo err $x >&2; read y"),
                           [](auto&, v1::ContainerConfig& config) { config.set_stdin(true); });
  ASSERT_TRUE(Eventually([&] { return LogText(made.log()) == "before\n"; }));
  Beside second = Start(PeerCommand({"remote", AttachUrl(made.container, {})}));
  Beside first = Start(PeerCommand({"remote", "-i", "-e", AttachUrl(made.container, {.input = true, .errors = true})}));
  // Both are attached once both have got something.
  ASSERT_EQ(write(first.input.get(), "one\n", 4), 4);
  ASSERT_TRUE(first.Read("out one\n"));
  EXPECT_EQ(first.text, "out one\n");
  ASSERT_EQ(write(first.input.get(), "end\n", 4), 4);
  EXPECT_TRUE(first.child.Wait(base::Context().WithTimeout(std::chrono::seconds(30)), "peer"));
  EXPECT_TRUE(second.child.Wait(base::Context().WithTimeout(std::chrono::seconds(30)), "peer"));
  EXPECT_EQ(LogText(made.log()), "before\nout one\n");
  EXPECT_EQ(LogText(made.log(), "stderr"), "err one\n");
}

TEST_P(StreamingAttach, FirstClientsEndEndsAnInputThatIsToBeUsedOnce) {
  Made made = RunContainer({"sh", "-c", "cat; echo end"}, [](auto&, v1::ContainerConfig& config) {
    config.set_stdin(true);
    config.set_stdin_once(true);
  });
  const Ended ended = Remote(AttachUrl(made.container, {.input = true}), {.input = true}, "text\n");
  EXPECT_EQ(ended.output, "text\nend\n");
  EXPECT_THAT(ended.status, HasSubstr("Success"));
  EXPECT_EQ(WaitExited(made.container).exit_code(), 0);
}

TEST_P(StreamingAttach, OtherwiseTheClientsEndIsItsOwnAlone) {
  Made made = RunContainer(Sh("read x; echo $x; read y; echo $y"),
                           [](auto&, v1::ContainerConfig& config) { config.set_stdin(true); });
  Remote(AttachUrl(made.container, {.input = true}), {.input = true}, "one\n");
  ASSERT_TRUE(Eventually([&] { return LogText(made.log()) == "one\n"; }));
  Remote(AttachUrl(made.container, {.input = true}), {.input = true}, "two\n");
  EXPECT_EQ(WaitExited(made.container).exit_code(), 0);
  EXPECT_EQ(LogText(made.log()), "one\ntwo\n");
}

TEST_P(StreamingAttach, WorksOnceTheDaemonIsThereAgain) {
  Made made = RunContainer(Sh("read x; echo got $x; read y"),
                           [](auto&, v1::ContainerConfig& config) { config.set_stdin(true); });
  Beside lost = Start(PeerCommand({"remote", "-i", AttachUrl(made.container, {.input = true})}));
  Restart();
  EXPECT_TRUE(lost.child.Wait(base::Context().WithTimeout(std::chrono::seconds(30)), "peer"));
  Beside peer = Start(PeerCommand({"remote", "-i", AttachUrl(made.container, {.input = true})}));
  ASSERT_EQ(write(peer.input.get(), "word\n", 5), 5);
  EXPECT_TRUE(peer.Read("got word\n"));
}

TEST_P(StreamingAttach, TerminalsSizeIsSet) {
  Made made = RunContainer(Sh("until [ \"$(stty size)\" = '33 91' ]; do sleep 0.05; done; echo right; read x"),
                           [](auto&, v1::ContainerConfig& config) {
                             config.set_tty(true);
                             config.set_stdin(true);
                           });
  Beside peer = Start(PeerCommand({"remote", "-t", "-i", "-size", "{\"Width\":91,\"Height\":33}\n",
                                   AttachUrl(made.container, {.tty = true, .input = true})}));
  EXPECT_TRUE(peer.Read("right\r\n"));
}

TEST_P(StreamingAttach, StalledClientIsDroppedAndTheLogIsWhole) {
  Made made = RunContainer(Sh("read x; echo ready; read y; seq 1 2000000"),
                           [](auto&, v1::ContainerConfig& config) { config.set_stdin(true); });
  Beside stalled = Start(PeerCommand({"remote", "-i", AttachUrl(made.container, {.input = true})}));
  ASSERT_EQ(write(stalled.input.get(), "x\n", 2), 2);
  ASSERT_TRUE(stalled.Read("ready"));
  ASSERT_TRUE(stalled.child.Signal(SIGSTOP));
  Remote(AttachUrl(made.container, {.input = true}), {.input = true}, "y\n");
  EXPECT_EQ(WaitExited(made.container).exit_code(), 0);
  const std::string log = LogText(made.log());
  EXPECT_TRUE(log.ends_with("\n2000000\n"));
  EXPECT_EQ(std::ranges::count(log, '\n'), 2'000'001);
}

class StreamingForward : public StreamingNode {
 protected:
  // A container and, at port 7007 of its pod, a server.
  Made Echo() {
    Made made = Sleeper();
    Serve(made, {});
    return made;
  }
  void Serve(const Made& made, Listener::Options options) {
    options.net_namespace = base::Cat("/proc/", PidOf(made), "/ns/net");
    options.port = 7007;
    auto started = Listener::Start(std::move(options));
    ASSERT_TRUE(started) << started.error().Text();
    listener_ = *std::move(started);
  }
  void TearDown() override {
    listener_.reset();
    StreamingNode::TearDown();
  }
  std::unique_ptr<Listener> listener_;
};
INSTANTIATE_TEST_SUITE_P(Runtimes, StreamingForward, testing::Values(InstalledRuntimes().front()), RuntimeName);

TEST_P(StreamingForward, ThousandsOfShortConnectionsLeaveNothing) {
  Made made = Echo();
  Peer({"forward", "-n", "50", "-parallel", "4", ForwardUrl(made.pod), "7007"});
  const size_t before = Descriptors();
  const Ended ended =
      Peer({"forward", "-n", "3000", "-parallel", "8", ForwardUrl(made.pod), "7007"}, "", std::chrono::seconds(300));
  EXPECT_EQ(ended.output, "3000 connections, 0 failed\n") << ended.errors;
  EXPECT_TRUE(Eventually([&] { return Descriptors() <= before; })) << Descriptors() << " after " << before;
}

TEST_P(StreamingForward, MuchGoesBothWaysWhole) {
  Made made = Echo();
  const Ended ended = Peer({"forward", "-n", "4", "-parallel", "4", "-size", "30000000", ForwardUrl(made.pod), "7007"});
  EXPECT_EQ(ended.output, "4 connections, 0 failed\n") << ended.errors;
}

TEST_P(StreamingForward, ClosedPortIsToldAndNoMoreIsBroken) {
  Made made = Echo();
  const Ended ended = Peer({"forward", ForwardUrl(made.pod), "7008"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.errors, HasSubstr("error forwarding port 7008 to pod " + made.pod));
  EXPECT_THAT(ended.errors, HasSubstr("connect to 127.0.0.1:7008: Connection refused; connect to [::1]:7008: "));
}

TEST_P(StreamingForward, HostNetworkPodIsReachedOnTheHost) {
  const auto listener = Listener::Start({.v6 = true});
  if (!listener) GTEST_SKIP() << "no IPv6 here: " << listener.error().Text();
  v1::PodSandboxConfig config = Pod();
  config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(v1::NODE);
  const std::string pod = RunPod(config);
  // IPv4 refuses, so this is IPv6 as well.
  const Ended ended = Peer({"forward", ForwardUrl(pod), std::to_string((*listener)->port())});
  EXPECT_EQ(ended.output, "1 connections, 0 failed\n") << ended.errors;
}

TEST_P(StreamingForward, RemovalOfThePodEndsConnectionsAndThoseThatBeginAfterIt) {
  Made made = Sleeper();
  const auto reached = std::make_shared<std::atomic<bool>>();
  Serve(made, {.serve = [reached](int connection) {
          *reached = true;
          Listener::Echo(connection);
        }});
  const std::string late = ForwardUrl(made.pod);
  // It sends more than it will ever get through: only the pod's end ends it.
  Beside client = Start(PeerCommand({"forward", "-size", "1000000000000", ForwardUrl(made.pod), "7007"}));
  ASSERT_TRUE(Eventually([&] { return reached->load(); }));
  ASSERT_CALL_OK(cri().RemovePod(made.pod));
  const auto limit = base::Context().WithTimeout(std::chrono::seconds(30));
  EXPECT_TRUE(client.child.Wait(limit, "peer"));
  EXPECT_EQ(Peer({"forward", late, "7007"}).code, 1);
}

TEST_P(StreamingForward, StoppedPodIsRefusedAndConnectionsEnd) {
  Made made = Echo();
  Beside client = Start(
      {.program = BerthClient(),
       .arguments = {"berth", "--socket", "unix://" + daemon().socket().native(), "port-forward", made.pod, "0:7007"},
       .environment = {"PATH=/usr/bin"}});
  ASSERT_TRUE(client.Read("to port 7007"));
  ASSERT_CALL_OK(cri().StopPod(made.pod));
  const auto ended = client.child.Wait(base::Context().WithTimeout(std::chrono::seconds(30)), "berth");
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->code, 125);
  v1::PortForwardRequest request;
  request.set_pod_sandbox_id(made.pod);
  EXPECT_EQ(cri().Call(&v1::RuntimeService::Stub::PortForward, request).code(), grpc::StatusCode::FAILED_PRECONDITION);
}

// The client for people.
class StreamingClient : public StreamingExec {
 protected:
  base::SpawnOptions Berth(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"berth", "--socket", "unix://" + daemon().socket().native()});
    return {.program = BerthClient(), .arguments = std::move(arguments), .environment = {"PATH=/usr/bin"}};
  }
  // A terminal of 33 rows and 91 columns, with berth in it.
  struct InTerminal {
    base::Child child;
    base::UniqueFd master;
    std::string text;
  };
  InTerminal StartInTerminal(std::vector<std::string> arguments) {
    InTerminal out;
    out.master.Reset(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    EXPECT_EQ(grantpt(out.master.get()), 0);
    EXPECT_EQ(unlockpt(out.master.get()), 0);
    winsize size{};
    size.ws_row = 33;
    size.ws_col = 91;
    EXPECT_EQ(ioctl(out.master.get(), TIOCSWINSZ, &size), 0);
    const base::UniqueFd slave(open(ptsname(out.master.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    base::SpawnOptions spawn = Berth(std::move(arguments));
    spawn.fds = {{slave.get(), 0}, {slave.get(), 1}, {slave.get(), 2}};
    auto child = base::Spawn(spawn);
    EXPECT_TRUE(child) << child.error().Text();
    out.child = *std::move(child);
    return out;
  }
  static bool Read(InTerminal& terminal, const std::string& wanted) {
    const auto context = base::Context().WithTimeout(std::chrono::seconds(30));
    while (terminal.text.find(wanted) == std::string::npos) {
      if (!context.Wait(terminal.master.get(), POLLIN, "terminal")) return false;
      char piece[4096];
      const ssize_t got = read(terminal.master.get(), piece, sizeof piece);
      if (got <= 0) return false;
      terminal.text.append(piece, static_cast<size_t>(got));
    }
    return true;
  }
};
INSTANTIATE_TEST_SUITE_P(Runtimes, StreamingClient, testing::Values(InstalledRuntimes().front()), RuntimeName);

TEST_P(StreamingClient, ExecPassesStreamsAndTheCode) {
  auto ran = base::Run(
      {.spawn = Berth({"exec", "-i", made_.container, "sh", "-c", "cat; echo err >&2; exit 9"}), .input = "text"},
      base::Context().WithTimeout(std::chrono::seconds(60)));
  ASSERT_TRUE(ran);
  EXPECT_EQ(ran->output, "text");
  EXPECT_EQ(ran->errors, "err\n");
  EXPECT_EQ(ran->exit.code, 9);
}

TEST_P(StreamingClient, ExecGivesTheCommandOurTerminal) {
  InTerminal terminal = StartInTerminal({"exec", "-it", made_.container, "sh"});
  ASSERT_EQ(write(terminal.master.get(), "stty size; exit 4\r", 18), 18);
  EXPECT_TRUE(Read(terminal, "33 91\r\n")) << terminal.text;
  const auto ended = terminal.child.Wait(base::Context().WithTimeout(std::chrono::seconds(30)), "berth");
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->code, 4);
}

TEST_P(StreamingClient, ControlCGoesToTheCommand) {
  InTerminal terminal = StartInTerminal({"exec", "-it", made_.container, "sh", "-c",
                                         "trap 'echo caught; exit 6' INT; echo ready; while :; do sleep 0.1; done"});
  ASSERT_TRUE(Read(terminal, "ready"));
  ASSERT_EQ(write(terminal.master.get(), "\x03", 1), 1);
  EXPECT_TRUE(Read(terminal, "caught"));
  const auto ended = terminal.child.Wait(base::Context().WithTimeout(std::chrono::seconds(30)), "berth");
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->code, 6);
}

TEST_P(StreamingClient, DetachKeysEndAttachAndNothingElse) {
  Made made = RunContainer(Sh("echo ready; read x; echo got $x; while :; do sleep 0.1; done"),
                           [](auto&, v1::ContainerConfig& config) {
                             config.set_tty(true);
                             config.set_stdin(true);
                           });
  InTerminal terminal = StartInTerminal({"attach", "-it", made.container});
  ASSERT_EQ(write(terminal.master.get(), "word\r", 5), 5);
  ASSERT_TRUE(Read(terminal, "got word")) << terminal.text;
  ASSERT_EQ(write(terminal.master.get(), "\x10\x11", 2), 2);
  const auto ended = terminal.child.Wait(base::Context().WithTimeout(std::chrono::seconds(30)), "berth");
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->code, 0);
  EXPECT_EQ(cri().Status(made.container)->status().state(), v1::CONTAINER_RUNNING);
}

TEST_P(StreamingClient, PortForwardCarriesConnections) {
  Made made = RunContainer(Sh("nc -ll -p 7007 -e cat"));
  ASSERT_TRUE(Eventually([&] {
    return cri().Exec(made.container, Sh("cat /proc/net/tcp /proc/net/tcp6 | grep -c ':1B5F .* 0A ' || :"))->stdout() !=
           "0\n";
  }));
  Beside client = Start(Berth({"port-forward", made.pod, "0:7007"}));
  ASSERT_TRUE(client.Read("to port 7007"));
  const size_t colon = client.text.find(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(client.text.substr(colon + 1))));
  for (int i = 0; i < 20; ++i) {
    const base::UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_TRUE(base::WriteAll(fd.get(), "hello", "socket"));
    ASSERT_EQ(shutdown(fd.get(), SHUT_WR), 0);
    const auto answer = base::ReadAll(fd.get(), 100, "socket");
    ASSERT_TRUE(answer);
    EXPECT_EQ(*answer, "hello");
  }
  ASSERT_TRUE(client.child.Signal(SIGTERM));
  const auto ended = client.child.Wait(base::Context().WithTimeout(std::chrono::seconds(30)), "berth");
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->code, 0);
}

}  // namespace
}  // namespace berth::e2e
