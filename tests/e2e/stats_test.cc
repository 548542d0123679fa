// The statistics calls beside the kernel's own files.
#include <filesystem>

#include "base/strings.h"
#include "tests/e2e/harness/cgroups.h"

namespace berth::e2e {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Runtime = v1::RuntimeService::Stub;

// What a cgroup file says of `key`, or as a whole where that is empty.
uint64_t Number(const std::string& text, const std::string& key = {}) {
  for (const std::string_view line : base::Split(text, '\n')) {
    const std::string_view rest = key.empty() ? line : line.starts_with(key + " ") ? line.substr(key.size() + 1) : "";
    if (const auto number = base::ParseInt(rest)) return static_cast<uint64_t>(*number);
  }
  ADD_FAILURE() << "no " << (key.empty() ? "number" : key) << " in: " << text;
  return 0;
}

class Stats : public OnRuntime {
 protected:
  v1::ContainerStats Ask(const std::string& container) {
    v1::ContainerStatsRequest request;
    request.set_container_id(container);
    auto reply = cri().Call(&Runtime::ContainerStats, request);
    EXPECT_CALL_OK(reply);
    return reply->stats();
  }
  Reply<v1::PodSandboxStatsResponse> AskPod(const std::string& pod) {
    v1::PodSandboxStatsRequest request;
    request.set_pod_sandbox_id(pod);
    return cri().Call(&Runtime::PodSandboxStats, request);
  }
  std::vector<std::string> Listed(const v1::ContainerStatsFilter& filter = {}) {
    v1::ListContainerStatsRequest request;
    *request.mutable_filter() = filter;
    auto reply = cri().Call(&Runtime::ListContainerStats, request);
    EXPECT_CALL_OK(reply);
    std::vector<std::string> ids;
    for (const auto& one : reply->stats()) ids.push_back(one.attributes().id());
    return ids;
  }
  // A counter that only grows: what is told lies between two readings of the file.
  static void ExpectBetween(const std::function<uint64_t()>& file, const std::function<uint64_t()>& told) {
    const uint64_t before = file();
    const uint64_t value = told();
    EXPECT_LE(before, value);
    EXPECT_LE(value, file());
  }
  // A figure that also falls: the same as the file's once that stands still for a moment.
  static testing::AssertionResult Agrees(const std::function<uint64_t()>& file, const std::function<uint64_t()>& told) {
    uint64_t before = 0;
    uint64_t value = 0;
    const bool same = Eventually([&] {
      before = file();
      value = told();
      return before == value && file() == before;
    });
    return same ? testing::AssertionSuccess()
                : testing::AssertionFailure() << "the file says " << before << ", berthd " << value;
  }
  // Uses processor time, 6 MB of memory and 3 MB of its writable layer.
  Made RunLoaded() {
    Made made = RunContainer(Sh("head -c 3000000 /dev/zero > /filled; held=$(head -c 6000000 /dev/zero | tr '\\0' x); "
                                "echo ready; while :; do :; done"),
                             [](v1::PodSandboxConfig&, v1::ContainerConfig& config) {
                               config.mutable_linux()->mutable_resources()->set_cpu_quota(20000);
                               config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(64 << 20);
                             });
    EXPECT_TRUE(Eventually([&] { return LogText(made.log()) == "ready\n"; }));
    return made;
  }
};
ON_EVERY_RUNTIME(Stats);

TEST_P(Stats, ProcessorTimeIsTheKernels) {
  const Made made = RunLoaded();
  const auto file = [&] {
    const std::string text = GroupFile(ContainerGroup(made, "cpuacct"), "cpuacct.usage", "cpu.stat");
    return OnCgroupV2() ? Number(text, "usage_usec") * 1000 : Number(text);
  };
  ExpectBetween(file, [&] { return Ask(made.container).cpu().usage_core_nano_seconds().value(); });
  ExpectBetween(
      [&] {
        const std::string text = GroupFile(PodGroup(made, "cpuacct"), "cpuacct.usage", "cpu.stat");
        return OnCgroupV2() ? Number(text, "usage_usec") * 1000 : Number(text);
      },
      [&] { return AskPod(made.pod)->stats().linux().cpu().usage_core_nano_seconds().value(); });
  EXPECT_TRUE(Eventually([&] {
    const v1::CpuUsage cpu = Ask(made.container).cpu();
    EXPECT_GT(cpu.timestamp(), 0);
    // A fifth of one processor is what it may use.
    return cpu.usage_nano_cores().value() > 1'000'000 && cpu.usage_nano_cores().value() < 1'000'000'000;
  }));
}

TEST_P(Stats, MemoryIsTheKernels) {
  const Made made = RunLoaded();
  const base::Path group = ContainerGroup(made, "memory");
  const auto stat = [&](const std::string& v1_key, const std::string& v2_key) {
    return Number(GroupFile(group, "memory.stat", "memory.stat"), OnCgroupV2() ? v2_key : v1_key);
  };
  const auto usage = [&] { return Number(GroupFile(group, "memory.usage_in_bytes", "memory.current")); };
  EXPECT_TRUE(Agrees(usage, [&] { return Ask(made.container).memory().usage_bytes().value(); }));
  EXPECT_GE(Ask(made.container).memory().usage_bytes().value(), 6'000'000u);
  EXPECT_TRUE(Agrees([&] { return usage() - stat("total_inactive_file", "inactive_file"); },
                     [&] { return Ask(made.container).memory().working_set_bytes().value(); }));
  EXPECT_TRUE(Agrees([&] { return (64u << 20) - usage() + stat("total_inactive_file", "inactive_file"); },
                     [&] { return Ask(made.container).memory().available_bytes().value(); }));
  EXPECT_TRUE(Agrees([&] { return stat("total_rss", "anon"); },
                     [&] { return Ask(made.container).memory().rss_bytes().value(); }));
  EXPECT_TRUE(Agrees([&] { return stat("total_pgfault", "pgfault"); },
                     [&] { return Ask(made.container).memory().page_faults().value(); }));
  EXPECT_TRUE(Agrees([&] { return stat("total_pgmajfault", "pgmajfault"); },
                     [&] { return Ask(made.container).memory().major_page_faults().value(); }));
  EXPECT_TRUE(
      Agrees([&] { return Number(GroupFile(PodGroup(made, "memory"), "memory.usage_in_bytes", "memory.current")); },
             [&] { return AskPod(made.pod)->stats().linux().memory().usage_bytes().value(); }));
  EXPECT_TRUE(Agrees([&] { return Number(GroupFile(PodGroup(made, "pids"), "pids.current", "pids.current")); },
                     [&] { return AskPod(made.pod)->stats().linux().process().process_count().value(); }));
}

TEST_P(Stats, WritableLayerIsWhatTheContainerWrote) {
  const Made made = RunLoaded();
  const base::Path upper = daemon().options().state_root / "containers" / made.container / "upper";
  const std::filesystem::recursive_directory_iterator walk(upper);
  const auto inodes = static_cast<uint64_t>(1 + std::distance(begin(walk), end(walk)));
  const v1::FilesystemUsage layer = Ask(made.container).writable_layer();
  EXPECT_EQ(layer.inodes_used().value(), inodes);
  EXPECT_GE(layer.used_bytes().value(), 3'000'000u);
  EXPECT_LE(layer.used_bytes().value(), 3'200'000u);
  EXPECT_GT(layer.timestamp(), 0);
  const auto images = cri().Call(&v1::ImageService::Stub::ImageFsInfo, v1::ImageFsInfoRequest());
  ASSERT_CALL_OK(images);
  EXPECT_EQ(layer.fs_id().mountpoint(), images->container_filesystems(0).fs_id().mountpoint());
}

TEST_P(Stats, NetworkIsSeenFromInsideThePod) {
  const Made made = RunContainer(Sh("sleep 1000"));
  ASSERT_CALL_OK(cri().Exec(made.container, Sh("ping -c 2 $(ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p')")));
  const auto inside = [&](const std::string& name) {
    const auto read = cri().Exec(made.container, {"cat", "/sys/class/net/eth0/statistics/" + name});
    EXPECT_CALL_OK(read);
    return Number(read->stdout());
  };
  const auto told = [&] {
    const auto reply = AskPod(made.pod);
    EXPECT_CALL_OK(reply);
    return reply->stats().linux().network();
  };
  EXPECT_EQ(told().default_interface().name(), "eth0");
  EXPECT_EQ(told().interfaces_size(), 0) << "lo is nobody's traffic";
  EXPECT_GT(told().default_interface().tx_bytes().value(), 100u);
  ExpectBetween([&] { return inside("rx_bytes"); }, [&] { return told().default_interface().rx_bytes().value(); });
  ExpectBetween([&] { return inside("tx_bytes"); }, [&] { return told().default_interface().tx_bytes().value(); });
  ExpectBetween([&] { return inside("rx_errors"); }, [&] { return told().default_interface().rx_errors().value(); });
  ExpectBetween([&] { return inside("tx_errors"); }, [&] { return told().default_interface().tx_errors().value(); });
  const auto list = cri().Call(&Runtime::ListPodSandboxStats, v1::ListPodSandboxStatsRequest());
  ASSERT_CALL_OK(list);
  ASSERT_EQ(list->stats_size(), 1);
  EXPECT_EQ(list->stats(0).linux().network().default_interface().name(), "eth0");
  EXPECT_EQ(list->stats(0).linux().containers_size(), 1);
}

TEST_P(Stats, PressureIsTheKernels) {
  const Made made = RunLoaded();
  const base::Path group = ContainerGroup(made, "cpu");
  if (!base::Exists(group / "cpu.pressure")) {
    EXPECT_FALSE(Ask(made.container).cpu().has_psi());
    GTEST_SKIP() << "needs cgroup v2 and a kernel with pressure stall information";
  }
  const auto total = [&](const std::string& name) {
    const std::string text = GroupFile(group, name, name);
    const size_t at = text.find("total=") + 6;
    return Number(text.substr(at, text.find('\n') - at)) * 1000;
  };
  ExpectBetween([&] { return total("cpu.pressure"); }, [&] { return Ask(made.container).cpu().psi().some().total(); });
  ExpectBetween([&] { return total("memory.pressure"); },
                [&] { return Ask(made.container).memory().psi().some().total(); });
  ExpectBetween([&] { return total("io.pressure"); }, [&] { return Ask(made.container).io().psi().some().total(); });
}

TEST_P(Stats, WhatHasEndedIsNotListed) {
  const Made made = RunContainer(Sh("echo x > /filled"));
  WaitExited(made.container);
  EXPECT_THAT(Listed(), IsEmpty());
  const v1::ContainerStats stats = Ask(made.container);
  EXPECT_FALSE(stats.has_cpu());
  EXPECT_GE(stats.writable_layer().inodes_used().value(), 2u);
  ASSERT_CALL_OK(AskPod(made.pod));
  ASSERT_CALL_OK(cri().StopPod(made.pod));
  EXPECT_EQ(AskPod(made.pod).code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(AskPod("0123456789abcdef").code(), grpc::StatusCode::NOT_FOUND);
}

TEST_P(Stats, FiguresGoOnAfterTheDaemonWasKilled) {
  const Made made = RunLoaded();
  const uint64_t before = Ask(made.container).cpu().usage_core_nano_seconds().value();
  Restart();
  EXPECT_THAT(Listed(), ElementsAre(made.container));
  EXPECT_GE(Ask(made.container).cpu().usage_core_nano_seconds().value(), before);
}

}  // namespace
}  // namespace berth::e2e
