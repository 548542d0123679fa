// Calls whose answer was lost: the retry gets the object, and nobody sees half of one.
#include <thread>

#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using base::Cat;
using base::Path;
using grpc::StatusCode;
using std::chrono::milliseconds;
using testing::IsEmpty;
using testing::SizeIs;

class Retry : public OnNode {
 protected:
  // Puts a plugin before the bridge whose ADD waits until the test lets it go on.
  void Prepare() override {
    ASSERT_STATUS_OK(
        base::WriteFile(daemon().plugin_folder() / "gate",
                        Cat("#!/bin/sh\ncat > /dev/null\nif [ \"$CNI_COMMAND\" = VERSION ]; then\n"
                            "echo '{\"cniVersion\":\"1.0.0\",\"supportedVersions\":[\"0.4.0\",\"1.0.0\"]}'; exit\nfi\n"
                            "if [ \"$CNI_COMMAND\" = ADD ]; then\n : > ",
                            started().string(), "\n while [ -e ", gate().string(),
                            " ]; do sleep 0.02; done\nfi\necho '{\"cniVersion\":\"1.0.0\"}'\n"),
                        0755));
    ASSERT_STATUS_OK(
        base::WriteFile(daemon().net_folder() / "10-e2e.conflist", daemon().NetworkList(R"({"type":"gate"})"), 0644));
  }
  void TearDown() override {
    std::filesystem::remove(gate());
    OnNode::TearDown();
  }
  Path gate() const { return folder() / "gate-closed"; }
  Path started() const { return folder() / "add-started"; }
  void CloseGate() {
    std::filesystem::remove(started());
    ASSERT_STATUS_OK(base::WriteFile(gate(), ""));
  }
  bool AddStarted() {
    return Eventually([&] { return base::Exists(started()); });
  }
};

TEST_F(Retry, RetriedPodIsTheOneBegunAndIsSeenOnlyWhenReady) {
  CloseGate();
  auto config = Pod();
  auto abandoned = cri().RunPod(config, {}, milliseconds(500));
  EXPECT_EQ(abandoned.code(), StatusCode::DEADLINE_EXCEEDED) << abandoned.message();
  EXPECT_THAT(cri().Pods()->items(), IsEmpty());
  std::string second;
  std::jthread retry([&] { second = RunPod(config); });
  ASSERT_TRUE(AddStarted());
  EXPECT_THAT(cri().Pods()->items(), IsEmpty());
  std::filesystem::remove(gate());
  retry.join();
  ASSERT_THAT(cri().Pods()->items(), SizeIs(1));
  EXPECT_EQ(cri().Pods()->items(0).id(), second);
  EXPECT_EQ(RunPod(config), second);
}

TEST_F(Retry, PodThatNobodyAsksForAgainIsNotLeaked) {
  CloseGate();
  EXPECT_EQ(cri().RunPod(Pod(), {}, milliseconds(300)).code(), StatusCode::DEADLINE_EXCEEDED);
  std::filesystem::remove(gate());
  // It was finished in the background for the retry that never came; then it can be listed and removed like any other.
  EXPECT_TRUE(Eventually([&] { return cri().Pods()->items_size() == 1; }));
}

TEST_F(Retry, AnotherRequestUnderTheNameOfAPodExistsAlready) {
  auto config = Pod();
  RunPod(config);
  (*config.mutable_labels())["changed"] = "yes";
  EXPECT_EQ(cri().RunPod(config).code(), StatusCode::ALREADY_EXISTS);
  EXPECT_THAT(cri().Pods()->items(), SizeIs(1));
}

TEST_F(Retry, AnotherRequestUnderTheNameOfAPodInTheMakingExistsAlready) {
  CloseGate();
  auto config = Pod();
  std::jthread first([&] { RunPod(config); });
  ASSERT_TRUE(AddStarted());
  (*config.mutable_labels())["changed"] = "yes";
  EXPECT_EQ(cri().RunPod(config).code(), StatusCode::ALREADY_EXISTS);
  config.mutable_labels()->erase("changed");
  std::filesystem::remove(gate());
  first.join();
}

TEST_F(Retry, NameOfARemovedPodIsFree) {
  auto config = Pod();
  std::string first = RunPod(config);
  ASSERT_CALL_OK(cri().RemovePod(first));
  EXPECT_NE(RunPod(config), first);
}

TEST_F(Retry, RetriedContainerIsTheOneMade) {
  Made made = CreateContainer({"sleep", "1000"});
  auto again = cri().Create(made.pod, made.config, made.pod_config);
  ASSERT_CALL_OK(again);
  EXPECT_EQ(again->container_id(), made.container);
  EXPECT_THAT(cri().Containers()->containers(), SizeIs(1));
}

TEST_F(Retry, AbandonedContainerIsFoundByTheRetry) {
  auto pod_config = Pod();
  std::string pod = RunPod(pod_config);
  auto config = Container({"sleep", "1000"});
  for (int i = 0; i < 5; ++i) (void)cri().Create(pod, config, pod_config, milliseconds(2));
  auto created = cri().Create(pod, config, pod_config);
  ASSERT_CALL_OK(created);
  ASSERT_THAT(cri().Containers()->containers(), SizeIs(1));
  EXPECT_EQ(cri().Containers()->containers(0).id(), created->container_id());
}

TEST_F(Retry, AnotherRequestUnderTheNameOfAContainerExistsAlready) {
  Made made = CreateContainer({"sleep", "1000"});
  made.config.add_args("more");
  EXPECT_EQ(cri().Create(made.pod, made.config, made.pod_config).code(), StatusCode::ALREADY_EXISTS);
}

}  // namespace
}  // namespace berth::e2e
