// Much at once and much in all: through exec, and beside it.
#include <signal.h>

#include <algorithm>
#include <thread>

#include "base/strings.h"
#include "tests/e2e/harness/streaming.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;

class StreamingLoad : public SleepingNode {};
ON_EVERY_RUNTIME(StreamingLoad);

TEST_P(StreamingLoad, TwoHundredProbesAtOnceHoldUpNoOtherCall) {
  std::vector<std::thread> probes;
  std::vector<std::string> answers(200);
  for (std::string& answer : answers) {
    probes.emplace_back([&] { answer = cri().Exec(made_.container, Sh("sleep 1; echo ok"), 60)->stdout(); });
  }
  std::chrono::nanoseconds slowest{0};
  for (int i = 0; i < 50; ++i) {
    const auto before = base::Monotonic::now();
    EXPECT_CALL_OK(cri().Status(made_.container));
    EXPECT_EQ(cri().Containers()->containers_size(), 1);
    EXPECT_EQ(cri().Pods()->items_size(), 1);
    slowest = std::max<std::chrono::nanoseconds>(slowest, base::Monotonic::now() - before);
  }
  EXPECT_EQ(Exec("echo in between").output, "in between\n");
  for (std::thread& probe : probes) probe.join();
  for (const std::string& answer : answers) EXPECT_EQ(answer, "ok\n");
  EXPECT_LT(slowest, std::chrono::seconds(5));
  EXPECT_EQ(Zombies(made_), "");
}

TEST_P(StreamingLoad, GibibyteThereAndBack) {
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

TEST_P(StreamingLoad, StalledReaderCostsNoMemory) {
  Beside peer = Start(PeerCommand({"remote", ExecUrl(made_.container, Sh("echo ready; exec cat /dev/zero"), {})}));
  ASSERT_TRUE(peer.Read("ready"));
  ASSERT_TRUE(peer.child.Signal(SIGSTOP));
  const size_t before = DaemonMemoryKiB();
  // Long enough for gigabytes, if anybody took them.
  EXPECT_FALSE(Eventually([&] { return DaemonMemoryKiB() > before + (16 << 10); }, std::chrono::seconds(3)));
  peer.child.KillGroup();
  ASSERT_TRUE(peer.child.Wait(base::Context(), "peer"));
  EXPECT_FALSE(Running(made_, "cat /dev/zero").empty());  // as Kubernetes expects: nobody killed it
}

}  // namespace
}  // namespace berth::e2e
