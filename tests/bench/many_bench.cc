// Eight callers at once; a hundred pods: lists, memory, restart.
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

class Many : public BenchNode {
 protected:
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

}  // namespace
}  // namespace berth::bench
