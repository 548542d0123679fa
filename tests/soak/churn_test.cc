// The same thing again and again: descriptors, threads and memory of the daemon stay where they were.
#include <cstdlib>

#include "base/strings.h"
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

struct Size {
  size_t fds = 0;
  size_t threads = 0;
  int64_t private_kib = 0;  // memory that is the daemon's alone
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
    for (const std::string_view line : base::Split(text, '\n')) {
      for (const std::string_view key : {"Private_Clean:", "Private_Dirty:"}) {
        if (!line.starts_with(key)) continue;
        const std::string_view number = line.substr(key.size(), line.size() - key.size() - 2);
        size.private_kib += base::ParseInt(base::Trim(number)).value_or(0);
      }
    }
    return size;
  }

  // `warm` rounds first: pools, arenas and caches fill once. Then four quarters; the last two may not grow by more than
  // `kib_per_round`.
  void ExpectFlat(int warm, int rounds, double kib_per_round, const std::function<void()>& round) {
    const auto run = [&](int count) {
      for (int i = 0; i < count && !HasFailure(); ++i) round();
    };
    run(warm);
    const Size before = Measure();
    rounds *= Factor();
    run(rounds / 2);
    const Size middle = Measure();
    run(rounds / 2);
    // What ends behind a call (watches, trash) is waited for.
    Size after;
    EXPECT_TRUE(Eventually([&] {
      after = Measure();
      return after.fds <= before.fds && after.threads <= before.threads;
    })) << "descriptors "
        << before.fds << " -> " << after.fds << ", threads " << before.threads << " -> " << after.threads;
    const double growth = static_cast<double>(after.private_kib - middle.private_kib) / (rounds / 2);
    std::printf("  %d rounds: %zu descriptors, %zu threads, private memory %ld -> %ld -> %ld KiB (%.2f KiB a round)\n",
                rounds, after.fds, after.threads, static_cast<long>(before.private_kib),
                static_cast<long>(middle.private_kib), static_cast<long>(after.private_kib), growth);
    EXPECT_LE(growth, kib_per_round);
  }
};

TEST_F(Churn, ExecLeavesNothingBehind) {
  Made made = RunContainer({"sleep", "10000"});
  ExpectFlat(100, 400, 0.5, [&] {
    auto ran = cri().Exec(made.container, {"true"});
    ASSERT_CALL_OK(ran);
  });
}

TEST_F(Churn, PodsLeaveNothingBehind) {
  ExpectFlat(20, 40, 8, [&] {
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
  ExpectFlat(20, 60, 8, [&] {
    auto created = cri().Create(pod, Container({"/no/such/program"}), config);
    ASSERT_FALSE(created.ok());
  });
  ExpectFlat(20, 60, 8, [&] {
    auto wrong = Pod();
    wrong.mutable_linux()->mutable_sysctls()->insert({"net.ipv4.no_such_sysctl", "1"});
    ASSERT_FALSE(cri().RunPod(wrong).ok());
  });
}

TEST_F(Churn, ListsAndStatusesLeaveNothingBehind) {
  Made made = RunContainer({"sleep", "10000"});
  ExpectFlat(1000, 4000, 0.1, [&] {
    ASSERT_CALL_OK(cri().Pods());
    ASSERT_CALL_OK(cri().Containers());
    ASSERT_CALL_OK(cri().Status(made.container));
    ASSERT_CALL_OK(cri().PodStatus(made.pod));
  });
}

}  // namespace
}  // namespace berth::e2e
