// The statistics calls: what is told of which container, from cgroup files that a test writes.
#include "server/stats_reply.h"

#include "tests/unit/server/node.h"

namespace berth::server {
namespace {

class Stats : public Node {
 protected:
  // What the kernel would have in these groups; pods of these tests are in /test.slice.
  void WriteGroup(const std::string& group, uint64_t memory, uint64_t pids) {
    const base::Path memory_folder = *temp_ / ("cgroup/memory/" + group);
    const base::Path pids_folder = *temp_ / ("cgroup/pids/" + group);
    ASSERT_OK(base::MakeDirs(memory_folder));
    ASSERT_OK(base::MakeDirs(pids_folder));
    ASSERT_OK(base::WriteFile(memory_folder / "memory.usage_in_bytes", base::Cat(memory, "\n")));
    ASSERT_OK(base::WriteFile(memory_folder / "memory.limit_in_bytes", "9223372036854771712\n"));
    ASSERT_OK(
        base::WriteFile(memory_folder / "memory.stat", "inactive_file 1\ntotal_inactive_file 100\ntotal_rss 7\n"));
    ASSERT_OK(base::WriteFile(pids_folder / "pids.current", base::Cat(pids, "\n")));
  }
  void WriteContainer(const std::string& id, uint64_t memory) {
    WriteGroup("test.slice/berth-" + id + ".scope", memory, 1);
  }
  void LoseContainer(const std::string& id) {
    for (const char* controller : {"memory", "pids"})
      ASSERT_OK(base::RemoveTree(*temp_ / "cgroup" / controller / ("test.slice/berth-" + id + ".scope")));
  }

  base::Result<cri::ContainerStatsResponse> Ask(const std::string& id) {
    cri::ContainerStatsRequest request;
    request.set_container_id(id);
    return ContainerStats(services(), request, Bounded());
  }
  std::vector<std::string> Listed(const std::function<void(cri::ContainerStatsFilter&)>& change = {}) {
    cri::ListContainerStatsRequest request;
    if (change) change(*request.mutable_filter());
    const auto reply = ListContainerStats(services(), request, Bounded());
    std::vector<std::string> ids;
    for (const auto& one : reply.value().stats()) ids.push_back(one.attributes().id());
    return ids;
  }
  base::Result<cri::PodSandboxStatsResponse> AskPod(const std::string& id) {
    cri::PodSandboxStatsRequest request;
    request.set_pod_sandbox_id(id);
    return PodSandboxStats(services(), request, Bounded());
  }
  using Ids = std::vector<std::string>;
};

TEST_F(Stats, RunningContainerIsToldInFull) {
  const std::string pod = RunPod("web");
  auto create = ContainerRequest(pod, "app");
  (*create.mutable_config()->mutable_annotations())["note"] = "kept";
  const std::string id = Create(create);
  Start(id);
  WriteContainer(id, 4096);
  ASSERT_OK(base::WriteFile(WritableLayer(services(), id) / "file", std::string(100'000, 'x')));

  const auto reply = Ask(id.substr(0, 12));
  ASSERT_TRUE(reply) << TextOf(reply);
  const cri::ContainerStats& stats = reply->stats();
  EXPECT_EQ(stats.attributes().id(), id);
  EXPECT_EQ(stats.attributes().metadata().name(), "app");
  EXPECT_EQ(stats.attributes().labels().at("name"), "app");
  EXPECT_EQ(stats.attributes().annotations().at("note"), "kept");
  EXPECT_GT(stats.memory().timestamp(), 0);
  EXPECT_EQ(stats.memory().usage_bytes().value(), 4096u);
  EXPECT_EQ(stats.memory().working_set_bytes().value(), 3996u);
  EXPECT_EQ(stats.memory().rss_bytes().value(), 7u);
  EXPECT_TRUE(stats.memory().has_available_bytes()) << "0 without a limit, but told";
  EXPECT_EQ(stats.memory().available_bytes().value(), 0u);
  EXPECT_FALSE(stats.has_cpu()) << "this host has no such controller";
  EXPECT_FALSE(stats.has_swap());
  EXPECT_FALSE(stats.has_io());
  EXPECT_GT(stats.writable_layer().timestamp(), 0);
  EXPECT_EQ(stats.writable_layer().fs_id().mountpoint(), services().config.state_root.native());
  EXPECT_GE(stats.writable_layer().used_bytes().value(), 100'000u);
  EXPECT_GE(stats.writable_layer().inodes_used().value(), 2u);
}

TEST_F(Stats, ContainerThatDoesNotRunHasItsWritableLayerAlone) {
  Run("exit 0");
  const std::string pod = RunPod("web");
  const std::string id = Create(pod, "app");
  for (const bool exited : {false, true}) {
    if (exited) {
      Start(id);
      ASSERT_TRUE(Exits(id));
    }
    const auto reply = Ask(id);
    ASSERT_TRUE(reply) << TextOf(reply);
    EXPECT_EQ(reply->stats().attributes().id(), id);
    EXPECT_TRUE(reply->stats().writable_layer().has_used_bytes());
    EXPECT_FALSE(reply->stats().has_memory());
    EXPECT_EQ(Listed(), Ids{});
  }
  EXPECT_EQ(CodeOf(Ask("nowhere")), "NOT_FOUND");
}

TEST_F(Stats, ListHasWhatRunsAndMatches) {
  const std::string pod = RunPod("one");
  const std::string other_pod = RunPod("two");
  const std::string first = CreateStarted(pod, "a");
  const std::string second = CreateStarted(pod, "b");
  const std::string third = CreateStarted(other_pod, "a");
  Create(pod, "created");
  for (const std::string& id : {first, second, third}) WriteContainer(id, 10);
  EXPECT_EQ(Listed(), (Ids{third, second, first}));
  EXPECT_EQ(Listed([&](auto& filter) { filter.set_pod_sandbox_id(pod); }), (Ids{second, first}));
  EXPECT_EQ(Listed([&](auto& filter) { filter.set_id(second.substr(0, 20)); }), Ids{second});
  EXPECT_EQ(Listed([&](auto& filter) { (*filter.mutable_label_selector())["name"] = "a"; }), (Ids{third, first}));
  EXPECT_EQ(Listed([&](auto& filter) { filter.set_id("nowhere"); }), Ids{});
  LoseContainer(second);
  EXPECT_EQ(Listed(), (Ids{third, first})) << "one that has just ended is skipped";
}

TEST_F(Stats, PodIsItsGroupAndItsContainers) {
  const std::string pod = RunPod("web");
  const std::string id = CreateStarted(pod, "app");
  Create(pod, "created");
  WriteGroup("test.slice", 8192, 5);
  WriteContainer(id, 4096);
  const auto reply = AskPod(pod);
  ASSERT_TRUE(reply) << TextOf(reply);
  EXPECT_EQ(reply->stats().attributes().id(), pod);
  EXPECT_EQ(reply->stats().attributes().metadata().namespace_(), "shop");
  EXPECT_EQ(reply->stats().attributes().labels().at("app"), "web");
  const cri::LinuxPodSandboxStats& figures = reply->stats().linux();
  EXPECT_EQ(figures.memory().usage_bytes().value(), 8192u);
  EXPECT_EQ(figures.process().process_count().value(), 5u);
  EXPECT_GT(figures.process().timestamp(), 0);
  ASSERT_EQ(figures.containers_size(), 1);
  EXPECT_EQ(figures.containers(0).attributes().id(), id);
  EXPECT_FALSE(figures.has_network()) << "the host's interfaces are not the pod's";
}

// With the systemd driver a pod without a parent is in system.slice, together with half the node.
TEST_F(Stats, PodWithoutAGroupOfItsOwnIsTheSumOfItsContainers) {
  auto request = PodRequest("plain");
  request.mutable_config()->mutable_linux()->clear_cgroup_parent();
  const std::string pod = RunPod(request);
  const std::string first = CreateStarted(pod, "a");
  const std::string second = CreateStarted(pod, "b");
  WriteGroup("system.slice", 1 << 30, 999);
  for (const std::string& id : {first, second}) WriteGroup("system.slice/berth-" + id + ".scope", 4096, 2);
  const auto reply = AskPod(pod);
  ASSERT_TRUE(reply) << TextOf(reply);
  EXPECT_EQ(reply->stats().linux().memory().usage_bytes().value(), 8192u);
  EXPECT_EQ(reply->stats().linux().memory().working_set_bytes().value(), 8192u - 200);
  EXPECT_EQ(reply->stats().linux().process().process_count().value(), 4u);
}

TEST_F(Stats, PodThatIsNotReadyIsUnavailableAndNotListed) {
  const std::string stopped = RunPod("old");
  const std::string ready = RunPod("new");
  ASSERT_OK(services().sandboxes.Stop(stopped, Bounded()));
  EXPECT_EQ(CodeOf(AskPod(stopped)), "UNAVAILABLE");
  EXPECT_EQ(CodeOf(AskPod("nowhere")), "NOT_FOUND");
  const auto list = ListPodSandboxStats(services(), {}, Bounded());
  ASSERT_EQ(list->stats_size(), 1);
  EXPECT_EQ(list->stats(0).attributes().id(), ready);
  cri::ListPodSandboxStatsRequest request;
  (*request.mutable_filter()->mutable_label_selector())["app"] = "old";
  EXPECT_EQ(ListPodSandboxStats(services(), request, Bounded())->stats_size(), 0);
}

TEST_F(Stats, PodsWithANetworkShowItsInterfacesOnce) {
  const std::string pod = RunPod(NetworkPodRequest("web"));
  const auto one = AskPod(pod);
  ASSERT_TRUE(one) << TextOf(one);
  EXPECT_TRUE(one->stats().linux().has_network());
  EXPECT_GT(one->stats().linux().network().timestamp(), 0);
  EXPECT_FALSE(one->stats().linux().network().has_default_interface()) << "the fake plugin made none";
  EXPECT_EQ(one->stats().linux().network().interfaces_size(), 0) << "lo is not told";
  const auto list = ListPodSandboxStats(services(), {}, Bounded());
  ASSERT_EQ(list->stats_size(), 1);
  EXPECT_TRUE(list->stats(0).linux().has_network());
}

TEST_F(Stats, SamplingForgetsWhatHasGone) {
  const std::string pod = RunPod("web");
  const std::string id = CreateStarted(pod, "app");
  WriteGroup("test.slice", 1, 1);
  WriteContainer(id, 1);
  SampleStats(services());
  EXPECT_EQ(services().stats.size(), 2u);
  ASSERT_OK(services().sandboxes.Remove(pod, Bounded()));
  SampleStats(services());
  EXPECT_EQ(services().stats.size(), 0u);
}

stats::Pressure SomePressure() {
  return {.some = stats::PressureLine{.avg10 = 1.5, .avg60 = 2.5, .avg300 = 3.5, .total_ns = 4000},
          .full = std::nullopt};
}

TEST(StatsReply, ProcessorsAndPressure) {
  Reading reading{.stats = {.time = 5, .cpu = stats::CpuStats{.usage_ns = 77}}, .nano_cores = std::nullopt};
  cri::CpuUsage first;
  FillCpu(reading, first);
  EXPECT_EQ(first.timestamp(), 5);
  EXPECT_EQ(first.usage_core_nano_seconds().value(), 77u);
  EXPECT_FALSE(first.has_usage_nano_cores()) << "not known yet is not 0";
  EXPECT_FALSE(first.has_psi());
  reading.nano_cores = 0;
  reading.stats.cpu->pressure = SomePressure();
  cri::CpuUsage out;
  FillCpu(reading, out);
  EXPECT_TRUE(out.has_usage_nano_cores());
  EXPECT_EQ(out.psi().some().total(), 4000u);
  EXPECT_EQ(out.psi().some().avg10(), 1.5);
  EXPECT_EQ(out.psi().some().avg60(), 2.5);
  EXPECT_EQ(out.psi().some().avg300(), 3.5);
  EXPECT_FALSE(out.psi().has_full()) << "old kernels have none for the processors";
  cri::IoUsage io;
  FillIo({.time = 6, .io_pressure = SomePressure()}, io);
  EXPECT_EQ(io.timestamp(), 6);
  EXPECT_EQ(io.psi().some().total(), 4000u);
}

TEST(StatsReply, TheCniInterfaceIsTheDefault) {
  cri::NetworkUsage out;
  FillNetwork(9,
              {{.name = "net1", .received = {.bytes = 1}, .sent = {.bytes = 2}},
               {.name = "eth0", .received = {.bytes = 3, .errors = 4}, .sent = {.bytes = 5, .errors = 6}}},
              out);
  EXPECT_EQ(out.timestamp(), 9);
  EXPECT_EQ(out.default_interface().name(), "eth0");
  EXPECT_EQ(out.default_interface().rx_bytes().value(), 3u);
  EXPECT_EQ(out.default_interface().rx_errors().value(), 4u);
  EXPECT_EQ(out.default_interface().tx_bytes().value(), 5u);
  EXPECT_EQ(out.default_interface().tx_errors().value(), 6u);
  ASSERT_EQ(out.interfaces_size(), 1);
  EXPECT_EQ(out.interfaces(0).name(), "net1");
  EXPECT_EQ(out.interfaces(0).tx_bytes().value(), 2u);
}

}  // namespace
}  // namespace berth::server
