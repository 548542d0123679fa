// What an idle monitor costs: memory and system calls.
#include <iostream>

#include "tests/unit/conmon/monitor_fixture.h"

namespace berth::conmon {
namespace {

using FootprintTest = MonitorFixture;

// The number behind "<key>" in a file of "key: value" lines, 0 without it.
int64_t Field(const base::Path& file, std::string_view key) {
  const auto text = base::ReadFile(file);
  if (!text) return 0;
  for (const auto line : base::Split(*text, '\n')) {
    if (!line.starts_with(key)) continue;
    std::string_view value = base::Trim(line.substr(key.size()));
    return base::ParseInt(value.substr(0, value.find(' '))).value_or(0);
  }
  return 0;
}

TEST_F(FootprintTest, AHundredMonitorsStayBelowTheirBudgetOfMemory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers bring memory of their own";
#endif
  constexpr int kCount = 100;
  MakeFifo("go");
  auto hold = base::Open(folder_ / "go", O_RDWR);
  ASSERT_TRUE(hold);
  std::vector<Launched> all;
  for (int i = 0; i < kCount; ++i) {
    const base::Path folder = folder_ / std::to_string(i);
    ASSERT_TRUE(base::MakeDirs(folder));
    auto launched = LaunchMonitor(OptionsIn(folder, "echo hello; exec cat " + (folder_ / "go").native()), Bound());
    ASSERT_TRUE(launched) << launched.error().Text();
    all.push_back(*std::move(launched));
  }
  int64_t total = 0;
  for (const Launched& launched : all) {
    total += Field(base::Cat("/proc/", launched.monitor.pid(), "/smaps_rollup"), "Pss:");
  }
  RecordProperty("mean_pss_kib", static_cast<int>(total / kCount));
  std::cout << "mean PSS of " << kCount << " monitors: " << total / kCount << " KiB\n";
  EXPECT_LE(total / kCount, 200);
  for (const Launched& launched : all) {
    auto pidfd = base::OpenProcess(launched.pid, launched.start_time);
    if (pidfd) {
      EXPECT_TRUE(base::SignalPidfd(pidfd->get(), SIGKILL));
    }
  }
  for (Launched& launched : all) EXPECT_TRUE(launched.monitor.Wait(Bound(), "monitor"));
}

TEST_F(FootprintTest, AnIdleMonitorIsNeverScheduled) {
  MakeFifo("go");
  MakeFifo("ready");
  auto launched = LaunchMonitor(Options("echo hello; echo y > $D/ready; read x < $D/go"), Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  ASSERT_TRUE(base::ReadFile(folder_ / "ready"));
  const base::Path status = base::Cat("/proc/", launched->monitor.pid(), "/status");
  const auto switches = [&] {
    return Field(status, "voluntary_ctxt_switches:") + Field(status, "nonvoluntary_ctxt_switches:");
  };
  // After this the monitor has nothing more to do: a reply means that everything before it was handled.
  { ASSERT_TRUE(Connect().GetStatus(Bound())); }
  const base::Context pause = base::Context().WithTimeout(std::chrono::milliseconds(300));
  EXPECT_FALSE(pause.Wait(-1, 0, "the closed connection to be noticed"));
  const int64_t before = switches();
  const base::Context idle = base::Context().WithTimeout(std::chrono::seconds(3));
  EXPECT_FALSE(idle.Wait(-1, 0, "idle time to pass"));
  EXPECT_EQ(switches(), before);
  Release("go");
  EXPECT_TRUE(Finish(*launched));
}

}  // namespace
}  // namespace berth::conmon
