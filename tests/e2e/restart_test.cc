// The daemon is killed or stopped and comes back: nothing is stopped by it and nothing is forgotten.
#include <signal.h>

#include <thread>

#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using base::Path;
using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class Restart : public OnRuntime {
 protected:
  // A container that counts until the file `stop` appears in its folder, then ends with code 9.
  Made RunCounter() {
    Path shared = folder() / "shared";
    EXPECT_TRUE(base::MakeDirs(shared));
    return RunContainer(
        Sh("i=0; while [ ! -e /shared/stop ]; do echo $i; i=$((i+1)); sleep 0.01; done; echo last; exit 9"),
        [&](auto&, v1::ContainerConfig& config) {
          auto* mount = config.add_mounts();
          mount->set_host_path(shared.string());
          mount->set_container_path("/shared");
        });
  }
  void StopCounter() { ASSERT_STATUS_OK(base::WriteFile(folder() / "shared/stop", "")); }
  static void ExpectCountedWithoutGaps(const Path& log) {
    std::string text = LogText(log), expected;
    for (int i = 0; expected.size() + 5 < text.size(); ++i) expected += std::to_string(i) + "\n";
    EXPECT_EQ(text, expected + "last\n");
  }
};
ON_EVERY_RUNTIME(Restart);

TEST_P(Restart, KilledDaemonFindsRunningContainersAndTheirWholeLogs) {
  Made made = RunCounter();
  auto pod_before = cri().PodStatus(made.pod);
  auto before = cri().Status(made.container);
  ASSERT_TRUE(Eventually([&] { return ReadLog(made.log()).size() > 20; }));
  for (int round = 0; round < 3; ++round) {
    ASSERT_STATUS_OK(daemon().Kill());
    size_t records = ReadLog(made.log()).size();
    EXPECT_TRUE(Eventually([&] { return ReadLog(made.log()).size() > records + 10; }))
        << "the log stands still without the daemon";
    StartAgain();
  }
  EXPECT_THAT(cri().Status(made.container)->status(), SameMessage(before->status()));
  EXPECT_THAT(cri().PodStatus(made.pod)->status(), SameMessage(pod_before->status()));
  EXPECT_CALL_OK(cri().Exec(made.container, {"true"}));
  StopCounter();
  EXPECT_EQ(WaitExited(made.container).exit_code(), 9);
  ExpectCountedWithoutGaps(made.log());
}

TEST_P(Restart, StoppedDaemonLeavesContainersAlone) {
  Made made = RunCounter();
  ASSERT_STATUS_OK(daemon().Stop());
  size_t records = ReadLog(made.log()).size();
  EXPECT_TRUE(Eventually([&] { return ReadLog(made.log()).size() > records + 10; }));
  StartAgain();
  EXPECT_EQ(cri().Status(made.container)->status().state(), v1::CONTAINER_RUNNING);
  ASSERT_CALL_OK(cri().Stop(made.container, 0));
  EXPECT_EQ(cri().Status(made.container)->status().exit_code(), 137);
}

TEST_P(Restart, ExitMeanwhileHasItsCodeAndTime) {
  Made made = RunCounter();
  ASSERT_STATUS_OK(daemon().Kill());
  int64_t earliest = base::UnixNanos();
  StopCounter();
  ASSERT_TRUE(Eventually([&] { return LogText(made.log()).ends_with("last\n"); }));
  ASSERT_TRUE(Eventually([] { return ProcessesNamed("berth-monitor").empty(); }));
  int64_t latest = base::UnixNanos();
  StartAgain();
  auto status = cri().Status(made.container);
  ASSERT_CALL_OK(status);
  EXPECT_EQ(status->status().state(), v1::CONTAINER_EXITED);
  EXPECT_EQ(status->status().exit_code(), 9);
  EXPECT_GE(status->status().finished_at(), earliest);
  EXPECT_LE(status->status().finished_at(), latest);
  EXPECT_EQ(cri().PodStatus(made.pod)->status().state(), v1::SANDBOX_READY);
  ExpectCountedWithoutGaps(made.log());
}

TEST_P(Restart, EveryStateIsTheSameAfterwards) {
  Made created = CreateContainer({"sleep", "1000"});
  Made running = RunContainer({"sleep", "1000"});
  Made exited = RunContainer(Sh("exit 5"));
  WaitExited(exited.container);
  std::string stopped_pod = RunPod(Pod("stopped"));
  ASSERT_CALL_OK(cri().StopPod(stopped_pod));
  auto all = [&] {
    std::map<std::string, std::string> seen;
    for (auto listed = cri().Pods(); const auto& item : listed->items())
      seen[item.id()] = cri().PodStatus(item.id())->status().ShortDebugString();
    for (auto listed = cri().Containers(); const auto& item : listed->containers())
      seen[item.id()] = cri().Status(item.id())->status().ShortDebugString();
    return seen;
  };
  auto before = all();
  ASSERT_THAT(before, SizeIs(7));
  OnNode::Restart();
  EXPECT_EQ(all(), before);
  EXPECT_CALL_OK(cri().Start(created.container));
  EXPECT_CALL_OK(cri().Stop(running.container, 0));
  EXPECT_CALL_OK(cri().Remove(exited.container));
}

TEST_P(Restart, LogCanBeReopenedAfterwards) {
  Made made = RunCounter();
  OnNode::Restart();
  std::filesystem::rename(made.log(), made.log().string() + ".1");
  ASSERT_CALL_OK(cri().ReopenLog(made.container));
  ASSERT_TRUE(Eventually([&] { return ReadLog(made.log()).size() > 5; }));
  StopCounter();
  WaitExited(made.container);
  EXPECT_TRUE(LogText(made.log()).ends_with("last\n"));
}

TEST_P(Restart, LostMonitorIsNoticedAndItsContainerEnds) {
  Made made = RunContainer({"sleep", "4242"});
  auto monitors = ProcessesNamed("berth-monitor");
  ASSERT_THAT(monitors, SizeIs(1));
  ::kill(monitors[0], SIGKILL);
  auto status = WaitExited(made.container);
  EXPECT_EQ(status.exit_code(), 255);
  EXPECT_EQ(status.reason(), "MonitorLost");
  EXPECT_TRUE(Eventually([] { return ProcessesNamed("sleep").empty(); }));
}

TEST_P(Restart, MonitorLostMeanwhileIsNoticedToo) {
  Made made = RunContainer({"sleep", "4242"});
  ASSERT_STATUS_OK(daemon().Kill());
  for (int pid : ProcessesNamed("berth-monitor")) ::kill(pid, SIGKILL);
  ASSERT_TRUE(Eventually([] { return ProcessesNamed("berth-monitor").empty(); }));
  StartAgain();
  EXPECT_EQ(WaitExited(made.container).exit_code(), 255);
  EXPECT_TRUE(Eventually([] { return ProcessesNamed("sleep").empty(); }));
}

TEST_P(Restart, StoppedMonitorDoesNotKeepTheContainerFromBeingStopped) {
  Made made = RunContainer({"sleep", "4242"});
  auto monitors = ProcessesNamed("berth-monitor");
  ASSERT_THAT(monitors, SizeIs(1));
  ::kill(monitors[0], SIGSTOP);
  EXPECT_CALL_OK(cri().Stop(made.container, 0));
  EXPECT_EQ(cri().Status(made.container)->status().state(), v1::CONTAINER_EXITED);
}

TEST_P(Restart, DaemonKilledAtAnyMomentOfALifeCycleLeavesNothing) {
  for (int wait_ms : {5, 15, 30, 45, 60, 90, 120}) {
    auto pod_config = Pod();
    std::jthread caller([&, limit = milliseconds(3000)] {
      auto run = cri().RunPod(pod_config, Handler(), limit);
      if (!run.ok()) return;
      auto created = cri().Create(run->pod_sandbox_id(), Container({"sleep", "1000"}), pod_config, limit);
      if (!created.ok()) return;
      (void)cri().Start(created->container_id());
    });
    std::this_thread::sleep_for(milliseconds(wait_ms));
    ASSERT_STATUS_OK(daemon().Kill());
    ASSERT_STATUS_OK(daemon().Start());
    caller.join();
    Connect();
    RemoveEverything();
    ExpectNothingLeft();
    if (HasFailure()) FAIL() << "killed after " << wait_ms << " ms";
  }
}

// With every file garbled, the network's cache too, DEL knows no namespace: as NetworkFaultNamespaceLost.
class RestartOnBrokenRecords : public OnNode {
 protected:
  Daemon::Options DaemonOptions() override {
    auto options = OnNode::DaemonOptions();
    options.masquerade = false;
    return options;
  }
};

TEST_F(RestartOnBrokenRecords, DaemonStartsWithEachStateFileTruncatedZeroedOrGarbled) {
  auto break_all = [&](const std::string& how) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(daemon().options().state_root)) {
      std::string name = entry.path().filename().string();
      if (!entry.is_regular_file() || entry.path().string().find("/diff/") != std::string::npos || name == "lock")
        continue;
      if (entry.path().string().find("/images/") != std::string::npos) continue;
      auto text = base::ReadFile(entry.path());
      ASSERT_STATUS_OK(text);
      std::string broken = how == "truncated" ? text->substr(0, text->size() / 2)
                           : how == "zeroed"  ? std::string(text->size(), '\0')
                                              : "{\"version\":999,\"\xff" + *text;
      ASSERT_STATUS_OK(base::WriteFile(entry.path(), broken, 0600));
    }
  };
  for (const char* how : {"truncated", "zeroed", "garbled"}) {
    Made made = RunContainer({"sleep", "4242"});
    ASSERT_STATUS_OK(daemon().Kill());
    break_all(how);
    StartAgain();
    ASSERT_CALL_OK(cri().Pods());
    EXPECT_FALSE(RunPod(Pod("after")).empty()) << how;
    RemoveEverything();
    // What was set aside stays for people to look at; they remove it.
    for (const char* kind : {"containers", "sandboxes"}) {
      for (const auto& entry : std::filesystem::directory_iterator(daemon().options().state_root / kind)) {
        EXPECT_TRUE(std::filesystem::exists(entry.path() / "record.json.bad")) << how << ": " << entry.path();
        std::filesystem::remove_all(entry.path());
      }
    }
  }
}

TEST_P(Restart, TermDuringAGracePeriodEndsTheDaemonAndLeavesTheContainer) {
  Made made = RunContainer(Sh("trap 'echo term' TERM; echo ready; while :; do sleep 0.1; done"));
  ASSERT_TRUE(Eventually([&] { return LogText(made.log()) == "ready\n"; }));
  std::jthread caller([&] { EXPECT_FALSE(cri().Stop(made.container, 600).ok()); });
  ASSERT_TRUE(Eventually([&] { return LogText(made.log()) == "ready\nterm\n"; }));
  ASSERT_STATUS_OK(daemon().Stop());  // an error after 20 s
  caller.join();
  StartAgain();
  EXPECT_EQ(cri().Status(made.container)->status().state(), v1::CONTAINER_RUNNING);
  EXPECT_CALL_OK(cri().Stop(made.container, 0));
}

TEST_F(RestartOnBrokenRecords, LedgerThatCannotBeReadIsSetAside) {
  Made made = RunContainer({"sleep", "1000"});
  ASSERT_STATUS_OK(daemon().Kill());
  const Path state = daemon().options().state_root / "sandboxes" / made.pod;
  ASSERT_STATUS_OK(base::RemoveFile(state / "ledger"));
  ASSERT_STATUS_OK(base::MakeDirs(state / "ledger"));
  StartAgain();
  EXPECT_EQ(cri().Status(made.container)->status().state(), v1::CONTAINER_RUNNING);
  EXPECT_CALL_OK(cri().StopPod(made.pod));
  EXPECT_CALL_OK(cri().RemovePod(made.pod));
  Restart();  // what the ledger knew the network's own books still know
  EXPECT_TRUE(base::Exists(state / "ledger.bad"));
  ASSERT_STATUS_OK(base::RemoveTree(state));
}

}  // namespace
}  // namespace berth::e2e
