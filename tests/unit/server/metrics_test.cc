// The metrics of pods and containers: what is described, what is sent, and that both agree.
#include "server/metrics.h"

#include <gmock/gmock.h>

#include <map>
#include <set>

#include "tests/unit/server/node.h"

namespace berth::server {
namespace {

using testing::ElementsAre;

// A kubelet publishes these in cAdvisor's place, so dashboards look for exactly these names, with these labels beside
// those that every metric has.
const std::map<std::string, std::vector<std::string>> kExpected = {
    {"container_cpu_user_seconds_total", {}},
    {"container_cpu_system_seconds_total", {}},
    {"container_cpu_usage_seconds_total", {"cpu"}},
    {"container_cpu_cfs_periods_total", {}},
    {"container_cpu_cfs_throttled_periods_total", {}},
    {"container_cpu_cfs_throttled_seconds_total", {}},
    {"container_fs_inodes_free", {"device"}},
    {"container_fs_inodes_total", {"device"}},
    {"container_fs_limit_bytes", {"device"}},
    {"container_fs_usage_bytes", {"device"}},
    {"container_fs_reads_total", {"device"}},
    {"container_fs_writes_total", {"device"}},
    {"container_fs_reads_bytes_total", {"device"}},
    {"container_fs_writes_bytes_total", {"device"}},
    {"container_blkio_device_usage_total", {"device", "major", "minor", "operation"}},
    {"container_hugetlb_usage_bytes", {"pagesize"}},
    {"container_hugetlb_max_usage_bytes", {"pagesize"}},
    {"container_memory_cache", {}},
    {"container_memory_rss", {}},
    {"container_memory_kernel_usage", {}},
    {"container_memory_mapped_file", {}},
    {"container_memory_swap", {}},
    {"container_memory_failcnt", {}},
    {"container_memory_usage_bytes", {}},
    {"container_memory_max_usage_bytes", {}},
    {"container_memory_working_set_bytes", {}},
    {"container_memory_total_active_file_bytes", {}},
    {"container_memory_total_inactive_file_bytes", {}},
    {"container_memory_failures_total", {"failure_type", "scope"}},
    {"container_network_receive_bytes_total", {"interface"}},
    {"container_network_receive_packets_total", {"interface"}},
    {"container_network_receive_packets_dropped_total", {"interface"}},
    {"container_network_receive_errors_total", {"interface"}},
    {"container_network_transmit_bytes_total", {"interface"}},
    {"container_network_transmit_packets_total", {"interface"}},
    {"container_network_transmit_packets_dropped_total", {"interface"}},
    {"container_network_transmit_errors_total", {"interface"}},
    {"container_oom_events_total", {}},
    {"container_file_descriptors", {}},
    {"container_processes", {}},
    {"container_sockets", {}},
    {"container_threads", {}},
    {"container_threads_max", {}},
    {"container_ulimits_soft", {"ulimit"}},
    {"container_spec_cpu_period", {}},
    {"container_spec_cpu_shares", {}},
    {"container_spec_cpu_quota", {}},
    {"container_spec_memory_limit_bytes", {}},
    {"container_spec_memory_swap_limit_bytes", {}},
    {"container_spec_memory_reservation_limit_bytes", {}},
    {"container_start_time_seconds", {}},
    {"container_last_seen", {}},
    {"container_pressure_cpu_waiting_seconds_total", {}},
    {"container_pressure_cpu_stalled_seconds_total", {}},
    {"container_pressure_memory_waiting_seconds_total", {}},
    {"container_pressure_memory_stalled_seconds_total", {}},
    {"container_pressure_io_waiting_seconds_total", {}},
    {"container_pressure_io_stalled_seconds_total", {}},
};

constexpr uint64_t kSecond = 1'000'000'000;

stats::Pressure Pressure(uint64_t some, uint64_t full) {
  return {.some = stats::PressureLine{.total_ns = some * kSecond},
          .full = stats::PressureLine{.total_ns = full * kSecond}};
}

// Everything is known, and each figure is another.
ContainerFigures Everything() {
  ContainerFigures out{.stats = {.time = 99 * static_cast<int64_t>(kSecond) + 5}};
  out.stats.cpu = stats::CpuStats{
      .usage_ns = 3 * kSecond + 1,
      .user_ns = 2 * kSecond,
      .system_ns = 1 * kSecond,
      .throttling = stats::CpuStats::Throttling{.periods = 4, .throttled_periods = 5, .throttled_ns = 6 * kSecond},
      .pressure = Pressure(7, 8)};
  stats::MemoryStats memory{
      .usage = 1000, .peak = 1001, .inactive_file = 100, .active_file = 10, .cache = 11, .rss = 12};
  memory.mapped_file = 13;
  memory.kernel = 14;
  memory.page_faults = 15;
  memory.major_page_faults = 16;
  memory.fail_count = 17;
  memory.oom_kills = 18;
  memory.swap = 19;
  memory.pressure = Pressure(20, 21);
  out.stats.memory = memory;
  out.stats.pids = stats::PidsStats{.current = 22, .limit = std::nullopt};
  out.stats.io = {
      {.major = 254, .minor = 1, .read_bytes = 23, .write_bytes = 24, .discard_bytes = 25, .reads = 26, .writes = 27}};
  out.stats.io_pressure = Pressure(28, 29);
  out.stats.huge_pages = {{.size = "2MB", .usage = 30, .peak = 31}};
  out.limits = {.cpu_period_us = 32, .cpu_quota_us = 33, .cpu_shares = 34, .memory = 35};
  out.layer = stats::TreeUsage{.bytes = 36};
  out.processes = {.processes = 37, .descriptors = 38, .sockets = 39};
  out.open_files_limit = 40;
  out.file_system = ContainerFigures::FileSystem{.device = "/dev/vda1", .bytes = 41, .inodes = 42, .inodes_free = 43};
  out.io_devices = {"/dev/vda1"};
  out.started_at = 44 * static_cast<int64_t>(kSecond);
  return out;
}

const BaseLabels kLabels{
    .id = "c1", .image = "registry/app:1", .namespace_name = "shop", .pod = "web", .container = "app"};

std::vector<std::string> Labels(const cri::Metric& metric, int from = 0) {
  return {metric.label_values().begin() + from, metric.label_values().end()};
}

TEST(Metrics, EveryNameIsDescribedWithItsLabels) {
  std::set<std::string> seen;
  for (const cri::MetricDescriptor& one : DescribeMetrics()) {
    ASSERT_TRUE(kExpected.contains(one.name())) << one.name();
    EXPECT_TRUE(seen.insert(one.name()).second) << one.name();
    EXPECT_FALSE(one.help().empty()) << one.name();
    std::vector<std::string> labels = {"id", "image", "namespace", "pod", "container"};
    labels.insert(labels.end(), kExpected.at(one.name()).begin(), kExpected.at(one.name()).end());
    EXPECT_EQ(std::vector<std::string>(one.label_keys().begin(), one.label_keys().end()), labels) << one.name();
  }
  EXPECT_EQ(seen.size(), kExpected.size());
}

TEST(Metrics, WhatIsSentIsWhatIsDescribed) {
  MetricList sent;
  AddContainerMetrics(Everything(), kLabels, sent);
  AddNetworkMetrics(7, {{.name = "eth0"}}, kLabels, sent);
  std::set<std::string> names;
  for (const cri::Metric& one : sent) {
    names.insert(one.name());
    ASSERT_TRUE(kExpected.contains(one.name())) << one.name();
    EXPECT_EQ(static_cast<size_t>(one.label_values_size()), 5 + kExpected.at(one.name()).size()) << one.name();
    EXPECT_THAT(std::vector<std::string>(one.label_values().begin(), one.label_values().begin() + 5),
                ElementsAre("c1", "registry/app:1", "shop", "web", "app"));
    EXPECT_TRUE(one.has_value());
    EXPECT_GT(one.timestamp(), 0);
    const bool counter = one.name().ends_with("_total") || one.name() == "container_memory_failcnt";
    const bool gauge = one.name() == "container_fs_inodes_total";
    EXPECT_EQ(one.metric_type(), counter && !gauge ? cri::COUNTER : cri::GAUGE) << one.name();
  }
  EXPECT_EQ(names.size(), kExpected.size()) << "with everything known nothing is missing";
}

TEST(Metrics, ValuesComeFromTheirFigures) {
  MetricList sent;
  AddContainerMetrics(Everything(), kLabels, sent);
  std::map<std::string, uint64_t> values;
  for (const cri::Metric& one : sent) {
    std::string key = one.name().substr(std::string("container_").size());
    for (const std::string& label : Labels(one, 5)) key += "/" + label;
    values[key] = one.value().value();
  }
  const std::map<std::string, uint64_t> expected = {
      {"cpu_user_seconds_total", 2},
      {"cpu_system_seconds_total", 1},
      {"cpu_usage_seconds_total/total", 3},
      {"cpu_cfs_periods_total", 4},
      {"cpu_cfs_throttled_periods_total", 5},
      {"cpu_cfs_throttled_seconds_total", 6},
      {"fs_inodes_free//dev/vda1", 43},
      {"fs_inodes_total//dev/vda1", 42},
      {"fs_limit_bytes//dev/vda1", 41},
      {"fs_usage_bytes//dev/vda1", 36},
      {"fs_reads_total//dev/vda1", 26},
      {"fs_writes_total//dev/vda1", 27},
      {"fs_reads_bytes_total//dev/vda1", 23},
      {"fs_writes_bytes_total//dev/vda1", 24},
      {"blkio_device_usage_total//dev/vda1/254/1/read", 23},
      {"blkio_device_usage_total//dev/vda1/254/1/write", 24},
      {"blkio_device_usage_total//dev/vda1/254/1/discard", 25},
      {"hugetlb_usage_bytes/2MB", 30},
      {"hugetlb_max_usage_bytes/2MB", 31},
      {"memory_cache", 11},
      {"memory_rss", 12},
      {"memory_kernel_usage", 14},
      {"memory_mapped_file", 13},
      {"memory_swap", 19},
      {"memory_failcnt", 17},
      {"memory_usage_bytes", 1000},
      {"memory_max_usage_bytes", 1001},
      {"memory_working_set_bytes", 900},
      {"memory_total_active_file_bytes", 10},
      {"memory_total_inactive_file_bytes", 100},
      {"memory_failures_total/pgfault/container", 15},
      {"memory_failures_total/pgfault/hierarchy", 15},
      {"memory_failures_total/pgmajfault/container", 16},
      {"memory_failures_total/pgmajfault/hierarchy", 16},
      {"oom_events_total", 18},
      {"file_descriptors", 38},
      {"processes", 37},
      {"sockets", 39},
      {"threads", 22},
      {"threads_max", 0},
      {"ulimits_soft/max_open_files", 40},
      {"spec_cpu_period", 32},
      {"spec_cpu_shares", 34},
      {"spec_cpu_quota", 33},
      {"spec_memory_limit_bytes", 35},
      {"spec_memory_swap_limit_bytes", 0},
      {"spec_memory_reservation_limit_bytes", 0},
      {"start_time_seconds", 44},
      {"last_seen", 99},
      {"pressure_cpu_waiting_seconds_total", 7},
      {"pressure_cpu_stalled_seconds_total", 8},
      {"pressure_memory_waiting_seconds_total", 20},
      {"pressure_memory_stalled_seconds_total", 21},
      {"pressure_io_waiting_seconds_total", 28},
      {"pressure_io_stalled_seconds_total", 29},
  };
  EXPECT_EQ(values, expected);
}

TEST(Metrics, WhatIsNotKnownIsLeftOut) {
  MetricList sent;
  AddContainerMetrics({}, kLabels, sent);
  for (const cri::Metric& one : sent) EXPECT_EQ(one.value().value(), 0u) << one.name();
  for (const cri::Metric& one : sent) EXPECT_NE(one.name(), "container_spec_cpu_quota") << "only where there is one";
}

TEST(Metrics, NetworkIsOneOfEachForEveryInterface) {
  MetricList sent;
  AddNetworkMetrics(7,
                    {{.name = "eth0",
                      .received = {.bytes = 1, .packets = 2, .errors = 3, .dropped = 4},
                      .sent = {.bytes = 5, .packets = 6, .errors = 7, .dropped = 8}},
                     {.name = "net1"}},
                    kLabels, sent);
  ASSERT_EQ(sent.size(), 16);
  std::map<std::string, uint64_t> values;
  for (const cri::Metric& one : sent) {
    EXPECT_EQ(one.timestamp(), 7);
    if (one.label_values(5) == "eth0")
      values[one.name().substr(std::string("container_network_").size())] = one.value().value();
  }
  const std::map<std::string, uint64_t> expected = {
      {"receive_bytes_total", 1},           {"receive_packets_total", 2},         {"receive_errors_total", 3},
      {"receive_packets_dropped_total", 4}, {"transmit_bytes_total", 5},          {"transmit_packets_total", 6},
      {"transmit_errors_total", 7},         {"transmit_packets_dropped_total", 8}};
  EXPECT_EQ(values, expected);
}

class NodeMetrics : public Node {};

TEST_F(NodeMetrics, ReadyPodsAndTheirRunningContainers) {
  const std::string pod = RunPod("web");
  const std::string stopped = RunPod("old");
  ASSERT_OK(services().sandboxes.Stop(stopped, Bounded()));
  const std::string id = CreateStarted(pod, "app");
  Create(pod, "created");
  const base::Path group = *temp_ / ("cgroup/memory/test.slice/berth-" + id + ".scope");
  ASSERT_OK(base::MakeDirs(group));
  ASSERT_OK(base::WriteFile(group / "memory.usage_in_bytes", "4096\n"));
  ASSERT_OK(
      base::WriteFile(group / "cgroup.procs", base::Cat(services().containers.Find(id).value()->process.pid, "\n")));
  const auto reply = ListPodSandboxMetrics(services(), {}, Bounded());
  ASSERT_TRUE(reply) << TextOf(reply);
  ASSERT_EQ(reply->pod_metrics_size(), 1);
  EXPECT_EQ(reply->pod_metrics(0).pod_sandbox_id(), pod);
  EXPECT_EQ(reply->pod_metrics(0).metrics_size(), 0) << "the host's interfaces are not the pod's";
  ASSERT_EQ(reply->pod_metrics(0).container_metrics_size(), 1);
  EXPECT_EQ(reply->pod_metrics(0).container_metrics(0).container_id(), id);
  bool found = false;
  for (const cri::Metric& one : reply->pod_metrics(0).container_metrics(0).metrics()) {
    EXPECT_THAT(Labels(one), testing::Contains("registry.example/app:1"));
    if (one.name() == "container_processes") {
      EXPECT_EQ(one.value().value(), 1u);
    }
    if (one.name() != "container_memory_usage_bytes") continue;
    found = true;
    EXPECT_THAT(Labels(one), ElementsAre(id, "registry.example/app:1", "shop", "web", "app"));
    EXPECT_EQ(one.value().value(), 4096u);
  }
  EXPECT_TRUE(found);
  // Nobody empties files that only play a cgroup, and the pod that made the slice would wait for that.
  EXPECT_OK(base::RemoveTree(*temp_ / "cgroup/memory/test.slice"));
}

}  // namespace
}  // namespace berth::server
