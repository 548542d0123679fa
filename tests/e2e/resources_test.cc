// Limits as the kernel got them, on cgroup v2.
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using testing::AnyOf;

class Resources : public OnRuntime {
 protected:
  void SetUp() override {
    if (!base::Exists("/sys/fs/cgroup/cgroup.controllers"))
      GTEST_SKIP() << "needs cgroup v2: a container sees its own limits there";
    OnRuntime::SetUp();
  }
  Made RunWith(const std::function<void(v1::LinuxContainerResources&)>& change) {
    return RunContainer(Sh("sleep 1000"), [&](v1::PodSandboxConfig&, v1::ContainerConfig& config) {
      change(*config.mutable_linux()->mutable_resources());
    });
  }
  // A file of the container's cgroup, which is the root of what it sees.
  std::string File(const Made& made, const std::string& name) {
    auto ran = cri().Exec(made.container, {"cat", "/sys/fs/cgroup/" + name});
    EXPECT_CALL_OK(ran);
    return ran->stdout();
  }
};
ON_EVERY_RUNTIME(Resources);

TEST_P(Resources, MemoryAndProcessors) {
  Made made = RunWith([](v1::LinuxContainerResources& resources) {
    resources.set_memory_limit_in_bytes(64 << 20);
    resources.set_cpu_period(100000);
    resources.set_cpu_quota(50000);
    resources.set_cpu_shares(1024);
    resources.set_cpuset_cpus("0");
    (*resources.mutable_unified())["memory.high"] = "50331648";
  });
  EXPECT_EQ(File(made, "memory.max"), "67108864\n");
  EXPECT_EQ(File(made, "memory.swap.max"), "0\n") << "a memory limit alone means no swap";
  EXPECT_EQ(File(made, "memory.high"), "50331648\n");
  EXPECT_EQ(File(made, "cpu.max"), "50000 100000\n");
  EXPECT_THAT(File(made, "cpu.weight"), AnyOf("39\n", "100\n"))
      << "by the older and by the newer formula of the runtimes";
  EXPECT_EQ(File(made, "cpuset.cpus"), "0\n");
}

TEST_P(Resources, SwapIsWhatTheLimitOfBothLeavesAboveMemory) {
  Made made = RunWith([](v1::LinuxContainerResources& resources) {
    resources.set_memory_limit_in_bytes(64 << 20);
    resources.set_memory_swap_limit_in_bytes(96 << 20);
  });
  EXPECT_EQ(File(made, "memory.max"), "67108864\n");
  EXPECT_EQ(File(made, "memory.swap.max"), "33554432\n");
}

TEST_P(Resources, SwapWithoutLimit) {
  Made made = RunWith([](v1::LinuxContainerResources& resources) {
    resources.set_memory_limit_in_bytes(64 << 20);
    resources.set_memory_swap_limit_in_bytes(-1);
  });
  EXPECT_EQ(File(made, "memory.swap.max"), "max\n");
}

}  // namespace
}  // namespace berth::e2e
