// Attach through a client that is not ours (peer/main.go).
#include <signal.h>

#include <algorithm>

#include "base/strings.h"
#include "tests/e2e/harness/streaming.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;

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
  WaitFor(first.child);
  WaitFor(second.child);
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
  WaitFor(lost.child);
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

}  // namespace
}  // namespace berth::e2e
