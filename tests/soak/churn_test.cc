// The same thing again and again: descriptors, threads and memory of the daemon stay where they were.
#include <algorithm>
#include <cstdlib>

#include "base/strings.h"
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

struct Size {
  size_t fds = 0;
  size_t threads = 0;
  // Memory behind which no file stands. Pages of the program are shared or private as other tests' daemons come and go.
  int64_t own_kib = 0;
};

class Churn : public OnNode {
 protected:
  static int Factor() {
    const char* text = std::getenv("BERTH_SOAK");
    return text ? std::max(1, std::atoi(text)) : 1;
  }

  Size Measure() {
    const base::Path proc = base::Cat("/proc/", daemon().pid());
    Size size{.fds = base::ListFolder(proc / "fd").value().size(),
              .threads = base::ListFolder(proc / "task").value().size()};
    const std::string text = base::ReadFile(proc / "smaps_rollup").value();
    constexpr std::string_view kKey = "Anonymous:";
    for (const std::string_view line : base::Split(text, '\n')) {
      if (!line.starts_with(kKey)) continue;
      const std::string_view number = line.substr(kKey.size(), line.size() - kKey.size() - 2);
      size.own_kib = base::ParseInt(base::Trim(number)).value_or(0);
    }
    EXPECT_GT(size.own_kib, 0) << text;
    return size;
  }

  // `warm` rounds first: pools, arenas and caches fill once. Then parts of `rounds` until two in a row have not raised
  // the peak of the memory by more than `kib_per_round`. A leak raises it in every part; threads that gRPC adds when
  // the host is busy bring a stack and malloc's cache each, and then no more.
  void ExpectFlat(int warm, int rounds, double kib_per_round, const std::function<void()>& round) {
    constexpr int kMostParts = 10;
    const auto run = [&](int count) {
      for (int i = 0; i < count && !HasFailure(); ++i) round();
    };
    run(warm);
    // Folders of cgroups stay open from the first sample on, whenever the sampler comes round: now, not between the
    // measures.
    ASSERT_CALL_OK(cri().Call(&v1::RuntimeService::Stub::ListPodSandboxStats, v1::ListPodSandboxStatsRequest()));
    ASSERT_CALL_OK(cri().Call(&v1::RuntimeService::Stub::ListContainerStats, v1::ListContainerStatsRequest()));
    const Size before = Measure();
    rounds *= Factor();
    const auto allowed = static_cast<int64_t>(rounds * kib_per_round);
    std::string seen = base::Cat(before.own_kib);
    int64_t peak = before.own_kib;
    int flat = 0;
    for (int part = 0; part < kMostParts && flat < 2 && !HasFailure(); ++part) {
      run(rounds);
      const int64_t now = Measure().own_kib;
      flat = now <= peak + allowed ? flat + 1 : 0;
      peak = std::max(peak, now);
      seen += base::Cat(" -> ", now);
    }
    EXPECT_EQ(flat, 2) << seen << " KiB, allowed in a part of " << rounds << " rounds: " << allowed;
    // What ends behind a call (watches, trash) is waited for.
    Size after;
    EXPECT_TRUE(Eventually([&] {
      after = Measure();
      return after.fds <= before.fds && after.threads <= before.threads;
    })) << "descriptors "
        << before.fds << " -> " << after.fds << ", threads " << before.threads << " -> " << after.threads;
    std::printf("  parts of %d rounds: %zu descriptors, %zu threads, own memory %s KiB\n", rounds, after.fds,
                after.threads, seen.c_str());
  }
};

TEST_F(Churn, ExecLeavesNothingBehind) {
  Made made = RunContainer({"sleep", "10000"});
  ExpectFlat(100, 150, 0.5, [&] {
    auto ran = cri().Exec(made.container, {"true"});
    ASSERT_CALL_OK(ran);
  });
}

TEST_F(Churn, PodsLeaveNothingBehind) {
  ExpectFlat(20, 20, 8, [&] {
    const auto config = Pod();
    const std::string pod = RunPod(config);
    auto created = cri().Create(pod, Container({"sleep", "10000"}), config);
    ASSERT_CALL_OK(created);
    ASSERT_CALL_OK(cri().Start(created->container_id()));
    ASSERT_CALL_OK(cri().StopPod(pod));
    ASSERT_CALL_OK(cri().RemovePod(pod));
  });
}

TEST_F(Churn, FailedCreationsLeaveNothingBehind) {
  const auto config = Pod();
  const std::string pod = RunPod(config);
  ExpectFlat(20, 30, 8, [&] {
    auto created = cri().Create(pod, Container({"/no/such/program"}), config);
    ASSERT_FALSE(created.ok());
  });
  ExpectFlat(20, 30, 8, [&] {
    auto wrong = Pod();
    wrong.mutable_linux()->mutable_sysctls()->insert({"net.ipv4.no_such_sysctl", "1"});
    ASSERT_FALSE(cri().RunPod(wrong).ok());
  });
}

TEST_F(Churn, ListsAndStatusesLeaveNothingBehind) {
  Made made = RunContainer({"sleep", "10000"});
  ExpectFlat(1000, 1500, 0.1, [&] {
    ASSERT_CALL_OK(cri().Pods());
    ASSERT_CALL_OK(cri().Containers());
    ASSERT_CALL_OK(cri().Status(made.container));
    ASSERT_CALL_OK(cri().PodStatus(made.pod));
  });
}

TEST_F(Churn, StatisticsLeaveNothingBehind) {
  Made made = RunContainer({"sleep", "10000"});
  using Runtime = v1::RuntimeService::Stub;
  ExpectFlat(1000, 1500, 0.1, [&] {
    ASSERT_CALL_OK(cri().Call(&Runtime::ListContainerStats, v1::ListContainerStatsRequest()));
    ASSERT_CALL_OK(cri().Call(&Runtime::ListPodSandboxStats, v1::ListPodSandboxStatsRequest()));
    ASSERT_CALL_OK(cri().Call(&Runtime::ListPodSandboxMetrics, v1::ListPodSandboxMetricsRequest()));
  });
}

}  // namespace
}  // namespace berth::e2e
