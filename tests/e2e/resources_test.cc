// Limits as the kernel got them, on cgroup v2.
#include <sys/mount.h>

#include <cerrno>
#include <cstring>

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

// As the kubelet's hugepages volumes do it: a file system of such pages, bound into the container.
TEST_P(Resources, HugePagesUpToTheLimit) {
  const std::string pool = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
  const auto before = base::ReadFile(pool);
  if (!before || base::ReadFile("/sys/fs/cgroup/cgroup.controllers").value_or("").find("hugetlb") == std::string::npos)
    GTEST_SKIP() << "needs pages of 2 MiB and the hugetlb controller";
  ASSERT_STATUS_OK(base::WriteKernelFile(pool, "8"));
  const base::Path pages = folder() / "pages";
  ASSERT_STATUS_OK(base::MakeDirs(pages));
  ASSERT_EQ(::mount("none", pages.c_str(), "hugetlbfs", 0, "pagesize=2M"), 0) << ::strerror(errno);
  Made made = RunContainer(Sh("sleep 1000"), [&](v1::PodSandboxConfig&, v1::ContainerConfig& config) {
    auto& limit = *config.mutable_linux()->mutable_resources()->add_hugepage_limits();
    limit.set_page_size("2MB");
    limit.set_limit(4 << 20);
    auto& mount = *config.add_mounts();
    mount.set_host_path(pages.string());
    mount.set_container_path("/pages");
  });
  EXPECT_EQ(File(made, "hugetlb.2MB.max"), "4194304\n");
  const auto within = cri().Exec(made.container, {"fallocate", "-l", "4194304", "/pages/within"});
  EXPECT_EQ(within->exit_code(), 0) << within->stderr();
  EXPECT_EQ(File(made, "hugetlb.2MB.current"), "4194304\n");
  EXPECT_NE(cri().Exec(made.container, {"fallocate", "-l", "2097152", "/pages/beyond"})->exit_code(), 0);
  RemoveEverything();
  EXPECT_EQ(::umount(pages.c_str()), 0) << ::strerror(errno);
  ASSERT_STATUS_OK(base::WriteKernelFile(pool, *before));
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
