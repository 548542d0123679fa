// UpdateContainerResources and UpdatePodSandboxResources, looked at in the container's cgroup and in its status.
#include <poll.h>
#include <sys/inotify.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "base/context.h"
#include "base/strings.h"
#include "tests/e2e/harness/cgroups.h"
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class Update : public OnRuntime {
 protected:
  static constexpr int64_t kMiB = 1 << 20;
  using Change = std::function<void(v1::LinuxContainerResources&)>;

  static bool V2() { return OnCgroupV2(); }
  static v1::LinuxContainerResources Resources(const Change& change) {
    v1::LinuxContainerResources out;
    change(out);
    return out;
  }
  static void AtFirst(v1::LinuxContainerResources& resources) {
    resources.set_memory_limit_in_bytes(64 * kMiB);
    resources.set_cpu_period(100000);
    resources.set_cpu_quota(20000);
    resources.set_cpu_shares(512);
  }
  Made Create(bool start) {
    const auto change = [](v1::PodSandboxConfig&, v1::ContainerConfig& config) {
      AtFirst(*config.mutable_linux()->mutable_resources());
    };
    return start ? RunContainer(Sh("sleep 1000"), change) : CreateContainer(Sh("sleep 1000"), change);
  }
  Reply<v1::UpdateContainerResourcesResponse> Send(const std::string& container, const Change& change) {
    v1::UpdateContainerResourcesRequest request;
    request.set_container_id(container);
    *request.mutable_linux() = Resources(change);
    return cri().Call(&v1::RuntimeService::Stub::UpdateContainerResources, request);
  }
  v1::LinuxContainerResources Shown(const std::string& container) {
    const auto status = cri().Status(container);
    EXPECT_CALL_OK(status);
    return status->status().resources().linux();
  }
  // From outside, as a container that is not started has nobody inside.
  static std::string File(const Made& made, const std::string& controller, const std::string& v1_name,
                          const std::string& v2_name) {
    return GroupFile(ContainerGroup(made, controller), v1_name, v2_name);
  }
  static std::string Memory(const Made& made) { return File(made, "memory", "memory.limit_in_bytes", "memory.max"); }
  static std::string Quota(const Made& made) { return File(made, "cpu", "cpu.cfs_quota_us", "cpu.max"); }
  // As soon as the quota is the kernel's: sometimes before the record is written, sometimes after. The daemon runs
  // again then.
  void KillWithinUpdate(const Made& made, const Change& change) {
    const base::Path file = ContainerGroup(made, "cpu") / (V2() ? "cpu.max" : "cpu.cfs_quota_us");
    const base::UniqueFd changes(inotify_init1(IN_CLOEXEC));
    ASSERT_GE(inotify_add_watch(changes.get(), file.c_str(), IN_MODIFY), 0) << strerror(errno);
    std::jthread caller([&] { (void)Send(made.container, change); });
    EXPECT_TRUE(base::Context().WithTimeout(std::chrono::seconds(90)).Wait(changes.get(), POLLIN, file.native()));
    EXPECT_TRUE(daemon().Kill());
    caller.join();
    StartAgain();
  }
  // Its output, a blank for each line's end.
  static std::string Systemctl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "systemctl");
    auto ran = base::Run({.spawn = {.program = "/usr/bin/systemctl",
                                    .arguments = std::move(arguments),
                                    .environment = {"PATH=/usr/bin:/bin"}}},
                         base::Context().WithTimeout(std::chrono::seconds(60)));
    EXPECT_TRUE(ran);
    std::string out = ran ? ran->output : std::string();
    std::replace(out.begin(), out.end(), '\n', ' ');
    return out;
  }
  static std::string QuotaOf(int64_t quota, int64_t period) {
    return V2() ? base::Cat(quota, " ", period) : std::to_string(quota);
  }
};
ON_EVERY_RUNTIME(Update);

TEST_P(Update, RunningContainerGetsNewLimitsAndShowsThem) {
  const Made made = Create(true);
  const std::string weight = File(made, "cpu", "cpu.shares", "cpu.weight");
  ASSERT_CALL_OK(Send(made.container, [](v1::LinuxContainerResources& resources) {
    resources.set_memory_limit_in_bytes(128 * kMiB);
    resources.set_cpu_quota(30000);
    resources.set_cpu_shares(2048);
    resources.set_cpuset_cpus("0");
  }));
  EXPECT_EQ(Memory(made), std::to_string(128 * kMiB));
  EXPECT_EQ(Quota(made), QuotaOf(30000, 100000)) << "the period was not named and stays";
  EXPECT_NE(File(made, "cpu", "cpu.shares", "cpu.weight"), weight);
  if (!V2()) {
    EXPECT_EQ(File(made, "cpu", "cpu.shares", ""), "2048");
  }
  EXPECT_EQ(File(made, "cpuset", "cpuset.cpus", "cpuset.cpus"), "0");
  const auto wanted = Resources([&](v1::LinuxContainerResources& resources) {
    resources = made.config.linux().resources();
    resources.set_memory_limit_in_bytes(128 * kMiB);
    resources.set_cpu_quota(30000);
    resources.set_cpu_shares(2048);
    resources.set_cpuset_cpus("0");
  });
  EXPECT_THAT(Shown(made.container), SameMessage(wanted));
  const auto inside = cri().Exec(
      made.container, {"cat", V2() ? "/sys/fs/cgroup/memory.max" : "/sys/fs/cgroup/memory/memory.limit_in_bytes"});
  ASSERT_CALL_OK(inside);
  EXPECT_EQ(inside->stdout(), std::to_string(128 * kMiB) + "\n");

  // Down again, far below: memory and swap in the other order.
  ASSERT_CALL_OK(Send(made.container, [](v1::LinuxContainerResources& resources) {
    resources.set_memory_limit_in_bytes(32 * kMiB);
    resources.set_memory_swap_limit_in_bytes(48 * kMiB);
    resources.set_cpu_quota(-1);
  }));
  EXPECT_EQ(Memory(made), std::to_string(32 * kMiB));
  EXPECT_EQ(Quota(made), V2() ? "max 100000" : "-1");
  const std::string swap = File(made, "memory", "memory.memsw.limit_in_bytes", "memory.swap.max");
  if (swap.find("No such file") == std::string::npos) {
    EXPECT_EQ(swap, std::to_string((V2() ? 16 : 48) * kMiB));
  }
}

TEST_P(Update, NoQuotaAtFirstIsAskedForAndChangedLater) {
  const Made made = RunContainer(Sh("sleep 1000"), [](v1::PodSandboxConfig&, v1::ContainerConfig& config) {
    config.mutable_linux()->mutable_resources()->set_cpu_period(100000);
    config.mutable_linux()->mutable_resources()->set_cpu_quota(-1);
  });
  EXPECT_EQ(Quota(made), V2() ? "max 100000" : "-1");
  EXPECT_EQ(Shown(made.container).cpu_quota(), -1);
  ASSERT_CALL_OK(Send(made.container, [](v1::LinuxContainerResources& resources) { resources.set_cpu_quota(30000); }));
  EXPECT_EQ(Quota(made), QuotaOf(30000, 100000));
}

TEST_P(Update, CreatedContainerKeepsNewLimitsWhenItStarts) {
  const Made made = Create(false);
  ASSERT_CALL_OK(Send(made.container,
                      [](v1::LinuxContainerResources& resources) { resources.set_memory_limit_in_bytes(96 * kMiB); }));
  EXPECT_EQ(Memory(made), std::to_string(96 * kMiB));
  ASSERT_CALL_OK(cri().Start(made.container));
  EXPECT_EQ(Memory(made), std::to_string(96 * kMiB));
  EXPECT_EQ(Shown(made.container).memory_limit_in_bytes(), 96 * kMiB);
}

TEST_P(Update, NewLimitsAreShownAfterTheDaemonWasKilled) {
  const Made made = Create(true);
  ASSERT_CALL_OK(Send(made.container, [](v1::LinuxContainerResources& resources) { resources.set_cpu_quota(30000); }));
  Restart();
  EXPECT_EQ(Shown(made.container).cpu_quota(), 30000);
  EXPECT_EQ(Shown(made.container).memory_limit_in_bytes(), 64 * kMiB);
  EXPECT_EQ(Quota(made), QuotaOf(30000, 100000));
}

TEST_P(Update, DaemonKilledInTheMiddleLeavesLimitsAndRecordTheSame) {
  const Made made = Create(true);
  for (int64_t i = 1; i <= 12; ++i) {
    KillWithinUpdate(made, [&](v1::LinuxContainerResources& resources) {
      resources.set_cpu_quota(20000 + i * 1000);
      resources.set_memory_limit_in_bytes((64 + i) * kMiB);
    });
    const auto shown = Shown(made.container);
    EXPECT_EQ(Quota(made), QuotaOf(shown.cpu_quota(), 100000)) << "round " << i;
    EXPECT_EQ(Memory(made), std::to_string(shown.memory_limit_in_bytes())) << "round " << i;
  }
}

// What systemd knows it writes again at its next reload.
TEST_P(Update, SystemdKnowsTheRecordsLimitsAfterTheDaemonWasKilledInTheMiddle) {
  if (!isolation.systemd) GTEST_SKIP() << "needs the systemd cgroup driver";
  const Made made = Create(true);
  for (int64_t i = 1; i <= 4; ++i) {
    const auto change = [&](v1::LinuxContainerResources& resources) {
      resources.set_cpu_quota(20000 + i * 1000);
      resources.set_memory_limit_in_bytes((64 + i) * kMiB);
    };
    KillWithinUpdate(made, change);
    const auto shown = Shown(made.container);
    const std::string scope = base::Cat("berth-", made.container, ".scope");
    const auto known = [&] { return Systemctl({"show", scope, "-p", "MemoryMax", "-p", "CPUQuotaPerSecUSec"}); };
    for (const std::string& wanted : {base::Cat("MemoryMax=", shown.memory_limit_in_bytes(), " "),
                                      base::Cat("CPUQuotaPerSecUSec=", shown.cpu_quota() / 100, "ms ")})
      EXPECT_TRUE(Eventually([&] { return known().find(wanted) != std::string::npos; }))
          << "round " << i << ": " << known() << "has no " << wanted;
    Systemctl({"daemon-reload"});
    EXPECT_EQ(Memory(made), std::to_string(shown.memory_limit_in_bytes())) << "round " << i;
    EXPECT_EQ(Quota(made), QuotaOf(shown.cpu_quota(), 100000)) << "round " << i;
  }
}

TEST_P(Update, ItIsAllOrNothing) {
  const Made made = Create(true);
  const auto before = Shown(made.container);
  // No node has that processor: the kernel refuses it, after the quota was written.
  const auto refused = Send(made.container, [](v1::LinuxContainerResources& resources) {
    resources.set_memory_limit_in_bytes(128 * kMiB);
    resources.set_cpu_quota(30000);
    resources.set_cpuset_cpus("4090");
  });
  EXPECT_EQ(refused.code(), grpc::StatusCode::INVALID_ARGUMENT) << refused.message();
  EXPECT_THAT(refused.message(), HasSubstr("resources: cpuset_cpus"));
  EXPECT_EQ(Quota(made), QuotaOf(20000, 100000));
  EXPECT_EQ(Memory(made), std::to_string(64 * kMiB));
  EXPECT_THAT(Shown(made.container), SameMessage(before));
}

TEST_P(Update, WhatCannotBeIsRefusedByName) {
  const Made made = Create(true);
  const auto swap = Send(
      made.container, [](v1::LinuxContainerResources& resources) { resources.set_memory_swap_limit_in_bytes(kMiB); });
  EXPECT_EQ(swap.code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(swap.message(), StartsWith("resources: memory_swap_limit_in_bytes"));
  const auto small =
      Send(made.container, [](v1::LinuxContainerResources& resources) { resources.set_memory_limit_in_bytes(1000); });
  EXPECT_EQ(small.code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(small.message(), StartsWith("resources: memory_limit_in_bytes 1000 is below"));
  if (!V2()) {
    const auto unified = Send(made.container, [](v1::LinuxContainerResources& resources) {
      (*resources.mutable_unified())["memory.high"] = "1";
    });
    EXPECT_EQ(unified.message(), "resources: unified needs cgroup v2");
  }
}

TEST_P(Update, EndedAndUnknownContainers) {
  const Made made = RunContainer(Sh("true"));
  WaitExited(made.container);
  const auto change = [](v1::LinuxContainerResources& resources) { resources.set_cpu_shares(2); };
  EXPECT_EQ(Send(made.container, change).code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Send("0123456789abcdef", change).code(), grpc::StatusCode::NOT_FOUND);
}

TEST_P(Update, PodsResourcesAreStoredAndShown) {
  const Made made = RunContainer(Sh("sleep 1000"));
  v1::UpdatePodSandboxResourcesRequest request;
  request.set_pod_sandbox_id(made.pod);
  request.mutable_resources()->set_cpu_shares(4242);
  request.mutable_overhead()->set_memory_limit_in_bytes(7 * kMiB);
  ASSERT_CALL_OK(cri().Call(&v1::RuntimeService::Stub::UpdatePodSandboxResources, request));
  Restart();
  v1::PodSandboxStatusRequest ask;
  ask.set_pod_sandbox_id(made.pod);
  ask.set_verbose(true);
  const auto status = cri().Call(&v1::RuntimeService::Stub::PodSandboxStatus, ask);
  ASSERT_CALL_OK(status);
  EXPECT_THAT(status->info().at("info"), HasSubstr(R"("resources":{"cpuShares":"4242"})"));
  EXPECT_THAT(status->info().at("info"), HasSubstr(R"("overhead":{"memoryLimitInBytes":"7340032"})"));
  request.set_pod_sandbox_id("0123456789abcdef");
  EXPECT_EQ(cri().Call(&v1::RuntimeService::Stub::UpdatePodSandboxResources, request).code(),
            grpc::StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace berth::e2e
