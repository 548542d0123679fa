// Names are operations: retries join, others are refused, callers may leave.
#include <latch>

#include "tests/unit/server/node.h"

namespace berth::server {
namespace {

// A network whose ADD waits until the test lets it go.
class Operations : public Node {
 protected:
  void SetUp() override {
    Node::SetUp();
    if (!temp_) return;
    const auto answer = plugins_->answers.at("first ADD");
    plugins_->answers["first ADD"] = [this, answer](const network::FakeCalls::Call& call) {
      asked_.count_down();
      go_.wait();
      return answer(call);
    };
  }
  std::latch asked_{1};
  std::latch go_{1};
};

using PodReply = base::Result<cri::RunPodSandboxResponse>;

TEST_F(Operations, SameRequestJoinsTheOneInFlight) {
  const auto request = NetworkPodRequest("web");
  std::vector<PodReply> replies(3, base::Fail(base::Code::kUnknown, "no reply"));
  std::vector<std::thread> callers;
  for (PodReply& reply : replies) callers.emplace_back([&] { reply = RunPodSandbox(services(), request, Bounded()); });
  asked_.wait();
  go_.count_down();
  for (std::thread& caller : callers) caller.join();
  for (const PodReply& reply : replies) {
    ASSERT_TRUE(reply) << TextOf(reply);
    EXPECT_EQ(reply->pod_sandbox_id(), replies[0]->pod_sandbox_id());
  }
  EXPECT_EQ(CountPlugin("ADD first"), 1u);
  EXPECT_EQ(RunPod(request), replies[0]->pod_sandbox_id()) << "and a retry after its end gets the finished one";
}

TEST_F(Operations, OtherRequestUnderTheSameNameIsRefused) {
  auto request = NetworkPodRequest("web");
  PodReply first = base::Fail(base::Code::kUnknown, "no reply");
  std::jthread caller([&] { first = RunPodSandbox(services(), NetworkPodRequest("web"), Bounded()); });
  asked_.wait();
  (*request.mutable_config()->mutable_labels())["app"] = "other";
  const auto second = RunPodSandbox(services(), request, Bounded());
  EXPECT_EQ(CodeOf(second), "ALREADY_EXISTS");
  EXPECT_NE(TextOf(second).find("cni ADD first"), std::string::npos) << "the stage is named: " << TextOf(second);
  go_.count_down();
  caller.join();
  ASSERT_TRUE(first) << TextOf(first);
  const auto third = RunPodSandbox(services(), request, Bounded());
  EXPECT_EQ(CodeOf(third), "ALREADY_EXISTS");
  EXPECT_NE(TextOf(third).find(first->pod_sandbox_id()), std::string::npos) << TextOf(third);
}

TEST_F(Operations, CallerThatLeavesCancelsNothingARetryWants) {
  const auto request = NetworkPodRequest("web");
  const base::Context context = base::Context::Make("r1");
  PodReply left = base::Fail(base::Code::kUnknown, "no reply");
  std::jthread leaver([&] { left = RunPodSandbox(services(), request, context); });
  asked_.wait();
  context.Cancel();
  leaver.join();
  EXPECT_EQ(CodeOf(left), "CANCELLED");
  EXPECT_EQ(ListPodSandbox(services(), {}, Bounded())->items_size(), 0) << "not to be seen before it is whole";
  go_.count_down();
  EXPECT_NE(RunPod(request), "");
  EXPECT_EQ(CountPlugin("ADD first"), 1u);
}

TEST_F(Operations, OtherPodsDoNotWaitForAStuckOne) {
  PodReply stuck = base::Fail(base::Code::kUnknown, "no reply");
  std::jthread caller([&] { stuck = RunPodSandbox(services(), NetworkPodRequest("stuck"), Bounded()); });
  asked_.wait();
  const std::string pod = RunPod("free");  // in the host's network
  CreateStarted(pod, "app");
  EXPECT_EQ(ListPodSandbox(services(), {}, Bounded())->items_size(), 1);
  go_.count_down();
  caller.join();
  EXPECT_TRUE(stuck) << TextOf(stuck);
}

using Retries = Node;

TEST_F(Retries, OfCreateContainerGetTheSameWhileItIsCreated) {
  const std::string pod = RunPod("web");
  const auto request = ContainerRequest(pod, "app");
  const std::string id = Create(request);
  EXPECT_EQ(Create(request), id);
  EXPECT_EQ(CountRuntime("create"), 1u);
  auto other = request;
  other.mutable_config()->add_args("more");
  EXPECT_EQ(CodeOf(CreateContainer(services(), other, Bounded())), "ALREADY_EXISTS");
  other.mutable_config()->mutable_metadata()->set_attempt(1);
  EXPECT_NE(Create(other), id) << "another attempt is another container";
  Start(id);
  EXPECT_EQ(CodeOf(CreateContainer(services(), request, Bounded())), "ALREADY_EXISTS")
      << "what runs is no retry's any more";
}

TEST_F(Retries, StopsAndRemovesOfOnePodAtOnceAllSucceed) {
  const std::string pod = RunPod(NetworkPodRequest("web"));
  const std::string container = CreateStarted(pod, "app");
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&, i] {
      if (i % 2 == 0)
        EXPECT_OK(services().sandboxes.Stop(pod, Bounded()));
      else if (i % 4 == 1)
        EXPECT_OK(services().sandboxes.Remove(pod, Bounded()));
      else
        EXPECT_OK(services().containers.Remove(container, Bounded()));
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(ListPodSandbox(services(), {}, Bounded())->items_size(), 0);
  EXPECT_EQ(ListContainers(services(), {}, Bounded())->containers_size(), 0);
  EXPECT_EQ(CountPlugin("DEL first"), 1u);
}

}  // namespace
}  // namespace berth::server
