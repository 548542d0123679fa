// Many callers at once, on different objects and on the same one.
#include <atomic>
#include <thread>

#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using testing::IsEmpty;

class Concurrency : public OnRuntime {
 protected:
  static void InParallel(int callers, const std::function<void(int)>& work) {
    std::vector<std::thread> threads;
    for (int i = 0; i < callers; ++i) threads.emplace_back([&work, i] { work(i); });
    for (std::thread& thread : threads) thread.join();
  }
};
ON_EVERY_RUNTIME(Concurrency);

TEST_P(Concurrency, EightCallersRunWholeLifeCycles) {
  std::vector<std::vector<v1::PodSandboxConfig>> pods(8);
  for (auto& mine : pods) {
    for (int round = 0; round < 3; ++round) mine.push_back(Pod());
  }
  std::atomic<bool> done = false;
  std::jthread lists([&] {
    while (!done) {
      EXPECT_CALL_OK(cri().Pods());
      EXPECT_CALL_OK(cri().Containers());
    }
  });
  InParallel(8, [&](int i) {
    for (const auto& config : pods[static_cast<size_t>(i)]) {
      std::string pod = RunPod(config);
      auto created = cri().Create(pod, Container(Sh("echo $(hostname); sleep 1000")), config);
      EXPECT_CALL_OK(created);
      auto started = cri().Start(created->container_id());
      EXPECT_CALL_OK(started);
      auto ran = cri().Exec(created->container_id(), {"hostname"});
      EXPECT_CALL_OK(ran);
      auto stopped = cri().Stop(created->container_id(), 0);
      EXPECT_CALL_OK(stopped);
      auto pod_stopped = cri().StopPod(pod);
      EXPECT_CALL_OK(pod_stopped);
      auto removed = cri().RemovePod(pod);
      EXPECT_CALL_OK(removed);
    }
  });
  done = true;
  lists.join();
  EXPECT_THAT(cri().Pods()->items(), IsEmpty());
}

class ConcurrencyOnOneThread : public Concurrency {
 protected:
  Daemon::Options DaemonOptions() override {
    Daemon::Options options = Concurrency::DaemonOptions();
    options.settings["limits.operation_threads"] = "1";
    return options;
  }
};
ON_EVERY_RUNTIME(ConcurrencyOnOneThread);

// What an operation waits for (records, exits, other operations) must not need the thread that waits.
TEST_P(ConcurrencyOnOneThread, OperationsDoNotWaitForThemselves) {
  std::vector<v1::PodSandboxConfig> pods{Pod(), Pod(), Pod(), Pod()};
  InParallel(4, [&](int i) {
    const auto& config = pods[static_cast<size_t>(i)];
    std::string pod = RunPod(config);
    auto created = cri().Create(pod, Container(Sh("sleep 1000")), config);
    EXPECT_CALL_OK(created);
    auto started = cri().Start(created->container_id());
    EXPECT_CALL_OK(started);
    auto removed = cri().RemovePod(pod);
    EXPECT_CALL_OK(removed);
  });
  EXPECT_THAT(cri().Pods()->items(), IsEmpty());
}

TEST_P(Concurrency, EightCallersAskingForTheSamePodGetOne) {
  auto config = Pod();
  std::vector<std::string> ids(8);
  InParallel(8, [&](int i) { ids[static_cast<size_t>(i)] = RunPod(config); });
  EXPECT_THAT(ids, testing::Each(ids[0]));
  EXPECT_THAT(cri().Pods()->items(), testing::SizeIs(1));
}

TEST_P(Concurrency, EightCallersStoppingAndRemovingOnePodAllSucceed) {
  Made made = RunContainer({"sleep", "1000"});
  InParallel(8, [&](int i) {
    if (i % 2 == 0) {
      auto stopped = cri().StopPod(made.pod);
      EXPECT_CALL_OK(stopped);
    } else {
      auto removed = cri().RemovePod(made.pod);
      EXPECT_CALL_OK(removed);
    }
  });
  EXPECT_THAT(cri().Pods()->items(), IsEmpty());
  EXPECT_THAT(cri().Containers()->containers(), IsEmpty());
}

TEST_P(Concurrency, ManyContainersInOnePodStartAtOnce) {
  auto config = Pod();
  std::string pod = RunPod(config);
  InParallel(8, [&](int i) {
    auto container = Container(Sh("echo ready; sleep 1000"), "c" + std::to_string(i));
    auto created = cri().Create(pod, container, config);
    EXPECT_CALL_OK(created);
    auto started = cri().Start(created->container_id());
    EXPECT_CALL_OK(started);
  });
  EXPECT_THAT(cri().Containers()->containers(), testing::SizeIs(8));
}

}  // namespace
}  // namespace berth::e2e
