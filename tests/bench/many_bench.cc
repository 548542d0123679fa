// Eight callers at once; a hundred pods: lists, memory, restart.
#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/strings.h"
#include "tests/bench/node.h"

namespace berth::bench {
namespace {

// KiB of a process's memory, shared pages in proportion; 0 when it is gone.
int64_t Pss(int pid) {
  const auto text = base::ReadFile(base::Cat("/proc/", pid, "/smaps_rollup"));
  if (!text) return 0;
  for (const std::string_view line : base::Split(*text, '\n')) {
    if (!line.starts_with("Pss:")) continue;
    const std::string_view number = base::Trim(line.substr(4, line.size() - 4 - 2));
    return base::ParseInt(number).value_or(0);
  }
  return 0;
}

// Seconds of processor time that a process has used.
double CpuSeconds(int pid) {
  const std::string text = base::ReadFile(base::Cat("/proc/", pid, "/stat")).value();
  const auto words = base::Split(std::string_view(text).substr(text.rfind(')') + 2), ' ');
  const int64_t ticks = base::ParseInt(words[11]).value_or(0) + base::ParseInt(words[12]).value_or(0);
  return static_cast<double>(ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

using Runtime = v1::RuntimeService::Stub;

class Many : public BenchNode {
 protected:
  size_t ContainerStats() {
    return static_cast<size_t>(cri().Call(&Runtime::ListContainerStats, v1::ListContainerStatsRequest())->stats_size());
  }
  size_t PodStats() {
    return static_cast<size_t>(
        cri().Call(&Runtime::ListPodSandboxStats, v1::ListPodSandboxStatsRequest())->stats_size());
  }
  size_t PodMetrics() {
    return static_cast<size_t>(
        cri().Call(&Runtime::ListPodSandboxMetrics, v1::ListPodSandboxMetricsRequest())->pod_metrics_size());
  }
  void InParallel(int callers, const std::function<void(int)>& work) {
    std::vector<std::thread> threads;
    for (int i = 0; i < callers; ++i) threads.emplace_back([&work, i] { work(i); });
    for (std::thread& thread : threads) thread.join();
  }
  void RunPods(int count, std::vector<v1::PodSandboxConfig>& configs, std::vector<std::string>& pods) {
    for (int i = 0; i < count; ++i) configs.push_back(Pod());
    pods.resize(configs.size());
    std::atomic<size_t> next = 0;
    InParallel(8, [&](int) {
      for (size_t i = next++; i < configs.size(); i = next++) {
        pods[i] = cri().RunPod(configs[i])->pod_sandbox_id();
        auto created = cri().Create(pods[i], Container({"sleep", "1000"}), configs[i]);
        EXPECT_CALL_OK(created);
        EXPECT_CALL_OK(cri().Start(created->container_id()));
      }
    });
  }
};
ON_EVERY_DISK(Many);

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TEST_P(Many, EightCallers) {
  constexpr int kCount = 64;
  std::vector<v1::PodSandboxConfig> configs;
  std::vector<std::string> pods;
  const double starts = Seconds([&] { RunPods(kCount, configs, pods); });
  std::atomic<size_t> next = 0;
  const double stops = Seconds([&] {
    InParallel(8, [&](int) {
      for (size_t i = next++; i < pods.size(); i = next++) {
        EXPECT_CALL_OK(cri().StopPod(pods[i]));
        EXPECT_CALL_OK(cri().RemovePod(pods[i]));
      }
    });
  });
  std::printf("8 callers, %d pods, state root on %s\n", kCount, GetParam().c_str());
  PrintFigure("started", kCount / starts, "pods/s");
  PrintFigure("stopped and removed", kCount / stops, "pods/s");
}

TEST_P(Many, HundredPods) {
  std::printf("100 pods, state root on %s\n", GetParam().c_str());
  PrintFigure("berthd idle, fresh: PSS", static_cast<double>(Pss(daemon().pid())) / 1024, "MiB");
  std::vector<v1::PodSandboxConfig> configs;
  std::vector<std::string> pods;
  RunPods(100, configs, pods);
  PrintFigure("berthd with 100 pods: PSS", static_cast<double>(Pss(daemon().pid())) / 1024, "MiB");
  int64_t monitors = 0;
  const auto pids = e2e::ProcessesNamed("berth-monitor");
  for (const int pid : pids) monitors += Pss(pid);
  EXPECT_EQ(pids.size(), 100U);
  PrintFigure("one monitor: PSS, mean of 100", static_cast<double>(monitors) / 100, "KiB");
  EXPECT_TRUE(e2e::ProcessesNamed("berth-pause").empty());

  Timings times;
  for (int i = 0; i < 300; ++i) {
    times.Time("containers", [&] { EXPECT_EQ(cri().Containers()->containers_size(), 100); });
    times.Time("pods", [&] { EXPECT_EQ(cri().Pods()->items_size(), 100); });
  }
  times.Print("ListContainers", "containers");
  times.Print("ListPodSandbox", "pods");
  for (int i = 0; i < 5; ++i) {
    ASSERT_STATUS_OK(daemon().Kill());
    times.Time("restart", [&] { StartAgain(); });
  }
  times.Print("kill -9, start to READY=1", "restart");
  PrintFigure("berthd after the restart: PSS", static_cast<double>(Pss(daemon().pid())) / 1024, "MiB");
}

TEST_P(Many, StatisticsOfAHundredPods) {
  std::printf("100 pods, state root on %s\n", GetParam().c_str());
  std::vector<v1::PodSandboxConfig> configs;
  std::vector<std::string> pods;
  RunPods(100, configs, pods);
  Timings times;
  for (int i = 0; i < 300; ++i) {
    times.Time("container stats", [&] { EXPECT_EQ(ContainerStats(), 100U); });
    times.Time("pod stats", [&] { EXPECT_EQ(PodStats(), 100U); });
  }
  for (int i = 0; i < 30; ++i) times.Time("metrics", [&] { EXPECT_EQ(PodMetrics(), 100U); });
  times.Print("ListContainerStats", "container stats");
  times.Print("ListPodSandboxStats", "pod stats");
  times.Print("ListPodSandboxMetrics", "metrics");

  // As a kubelet calls: its relist each second, its statistics every ten.
  constexpr int kSeconds = 60;
  const double cpu = CpuSeconds(daemon().pid());
  const double wall = Seconds([&] {
    const auto begin = std::chrono::steady_clock::now();
    for (int second = 0; second < kSeconds; ++second) {
      EXPECT_EQ(cri().Pods()->items_size(), 100);
      EXPECT_EQ(cri().Containers()->containers_size(), 100);
      if (second % 5 == 0) {
        EXPECT_CALL_OK(cri().Call(&Runtime::Status, v1::StatusRequest()));
      }
      if (second % 10 == 0) {
        EXPECT_EQ(ContainerStats(), 100U);
        EXPECT_CALL_OK(cri().Call(&v1::ImageService::Stub::ImageFsInfo, v1::ImageFsInfoRequest()));
      }
      std::this_thread::sleep_until(begin + std::chrono::seconds(second + 1));
    }
  });
  PrintFigure("berthd under a kubelet's calls", 100 * (CpuSeconds(daemon().pid()) - cpu) / wall, "% of one core");
}

}  // namespace
}  // namespace berth::bench
