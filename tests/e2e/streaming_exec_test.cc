// Exec through a client that is not ours (peer/main.go).
#include <signal.h>

#include "base/strings.h"
#include "tests/e2e/harness/streaming.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;
using testing::Not;

class StreamingExec : public SleepingNode {};
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

TEST_P(StreamingExec, TerminalsSizeChangesWhileTheCommandRuns) {
  const Wanted wanted{.tty = true};
  const std::string script = "trap 'echo now $(stty size); exit' WINCH; echo ready; while :; do sleep 0.1; done";
  Beside peer = Start(PeerCommand(
      {"remote", "-t", "-resized", "{\"Width\":120,\"Height\":44}\n", ExecUrl(made_.container, Sh(script), wanted)}));
  ASSERT_TRUE(peer.Read("ready"));
  ASSERT_TRUE(peer.child.Signal(SIGUSR1));
  EXPECT_TRUE(peer.Read("now 44 120")) << peer.text;
  WaitFor(peer.child);
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
  WaitFor(peer.child);
}

TEST_P(StreamingExec, DaemonThatIsKilledLeavesProcessesThatEnd) {
  Beside peer = Start(
      PeerCommand({"remote", "-i", ExecUrl(made_.container, Sh("echo ready; cat > /dev/null"), {.input = true})}));
  ASSERT_TRUE(peer.Read("ready"));
  Restart();
  WaitFor(peer.child);
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

}  // namespace
}  // namespace berth::e2e
