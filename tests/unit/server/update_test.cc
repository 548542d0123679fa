// UpdateContainerResources under the systemd driver: systemd's view through the OCI runtime, the kernel's through
// files.
#include "tests/unit/server/node.h"

namespace berth::server {
namespace {

class UpdateResources : public Node {
 protected:
  void SetUp() override {
    Node::SetUp();
    if (!temp_) return;
    cri::CreateContainerRequest request = ContainerRequest(RunPod("web"), "app");
    request.mutable_config()->mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(1'000'000);
    id_ = Create(request);
    Start(id_);
    const base::Path group = *temp_ / "cgroup/memory/test.slice" / ("berth-" + id_ + ".scope");
    ASSERT_OK(base::MakeDirs(group));
    file_ = group / "memory.limit_in_bytes";
    ASSERT_OK(base::WriteFile(file_, "1000000"));
  }
  base::Status Update(int64_t memory, const std::string& cpus = {}) {
    cri::UpdateContainerResourcesRequest request;
    request.set_container_id(id_);
    request.mutable_linux()->set_memory_limit_in_bytes(memory);
    request.mutable_linux()->set_cpuset_cpus(cpus);
    RETURN_IF_ERROR(UpdateContainerResources(services(), request, Bounded()));
    return {};
  }
  int64_t Shown() { return StatusOf(id_).resources().linux().memory_limit_in_bytes(); }

  std::string id_;
  base::Path file_;
};

TEST_F(UpdateResources, SystemdIsToldAndTheFileSaysIt) {
  ASSERT_OK(Update(2'000'000));
  EXPECT_EQ(CountRuntime("update " + id_ + R"( {"memory":{"limit":2000000}})"), 1u);
  EXPECT_EQ(kernel::Contents(file_), "2000000");
  EXPECT_EQ(Shown(), 2'000'000);
}

TEST_F(UpdateResources, NothingChangesWhenTheRuntimeRefuses) {
  runtime_->Fail("update", base::Error{.code = base::Code::kInternal, .message = "no such property"});
  const base::Status done = Update(2'000'000);
  EXPECT_NE(TextOf(done).find("no such property"), std::string::npos) << TextOf(done);
  EXPECT_EQ(kernel::Contents(file_), "1000000");
  EXPECT_EQ(Shown(), 1'000'000);
}

TEST_F(UpdateResources, FailureOnTheWayPutsFileAndSystemdBack) {
  // This host has no cpuset controller.
  const base::Status done = Update(2'000'000, "0");
  EXPECT_NE(TextOf(done).find("resources: cpuset_cpus"), std::string::npos) << TextOf(done);
  EXPECT_EQ(kernel::Contents(file_), "1000000");
  EXPECT_EQ(Shown(), 1'000'000);
  const auto calls = runtime_->Calls();
  EXPECT_EQ(calls.back(), "update " + id_ + R"( {"memory":{"limit":1000000}})");
}

TEST_F(UpdateResources, OfTwoAtOnceBothCount) {
  std::jthread other([this] { EXPECT_OK(Update(3'000'000)); });
  EXPECT_OK(Update(3'000'000));
  other.join();
  EXPECT_EQ(Shown(), 3'000'000);
}

TEST_F(UpdateResources, PodsAreStoredAndUnknownOnesNotFound) {
  cri::UpdatePodSandboxResourcesRequest request;
  request.set_pod_sandbox_id("none");
  EXPECT_EQ(CodeOf(UpdatePodSandboxResources(services(), request, Bounded())), "NOT_FOUND");
}

}  // namespace
}  // namespace berth::server
