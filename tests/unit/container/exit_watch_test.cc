#include "container/exit_watch.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "base/child.h"
#include "base/file.h"
#include "base/strings.h"

namespace berth::container {
namespace {

base::Child Sleeper() {
  auto child = base::Spawn({.program = "/bin/sleep", .arguments = {"sleep", "1000"}});
  return *std::move(child);
}

base::UniqueFd Pidfd(const base::Child& child) {
  return *base::OpenPidfd(child.pid());
}

class ExitWatchTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = "/tmp/berth-exit-watch-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // Runs the loop until an exit is told; nothing when none is within the bound against hanging.
  std::optional<std::optional<conmon::ExitRecord>> Told(WatchRequest request) {
    std::optional<std::optional<conmon::ExitRecord>> told;
    boost::asio::io_context loop;
    base::Executor asking({.name = "asking", .threads = 2});
    ExitWatch watch(loop, asking, [&](const std::string& id, std::optional<conmon::ExitRecord> record) {
      EXPECT_EQ(id, "c1");
      told = std::move(record);
      loop.stop();
    });
    request.id = "c1";
    request.exit_file = folder_ / "exit";
    request.socket = folder_ / "monitor.sock";
    watch.Watch(std::move(request));
    loop.run_for(std::chrono::seconds(60));
    return told;
  }

  base::Path folder_;
};

TEST_F(ExitWatchTest, RecordOfAMonitorThatEndedIsTold) {
  base::Child monitor = Sleeper();
  base::Child process = Sleeper();
  std::array<char, conmon::kExitRecordLimit> text{};
  const size_t length = conmon::FormatExitRecord({.code = 7, .finished_at = 5}, text);
  ASSERT_TRUE(base::WriteFile(folder_ / "exit", std::string_view(text.data(), length)));
  base::UniqueFd pidfd = Pidfd(monitor);
  monitor.KillGroup();
  (void)monitor.Release();  // the watch reaps it
  const auto told =
      Told({.id = {}, .monitor = std::move(pidfd), .process = Pidfd(process), .exit_file = {}, .socket = {}});
  ASSERT_TRUE(told && told->has_value());
  EXPECT_EQ((*told)->code, 7);
}

TEST_F(ExitWatchTest, MonitorThatEndedWithoutARecordIsLost) {
  base::Child monitor = Sleeper();
  base::Child process = Sleeper();
  base::UniqueFd pidfd = Pidfd(monitor);
  monitor.KillGroup();
  (void)monitor.Release();
  const auto told =
      Told({.id = {}, .monitor = std::move(pidfd), .process = Pidfd(process), .exit_file = {}, .socket = {}});
  ASSERT_TRUE(told);
  EXPECT_FALSE(told->has_value());
}

TEST_F(ExitWatchTest, StoppedMonitorOfAProcessThatIsGoneIsGivenUp) {
  base::Child monitor = Sleeper();
  base::UniqueFd pidfd = Pidfd(monitor);
  ASSERT_TRUE(monitor.Signal(SIGSTOP));
  (void)monitor.Release();
  const auto told =
      Told({.id = {}, .monitor = std::move(pidfd), .process = base::UniqueFd(), .exit_file = {}, .socket = {}});
  ASSERT_TRUE(told);
  EXPECT_FALSE(told->has_value());
}

TEST_F(ExitWatchTest, NothingToWatchIsAMonitorLost) {
  const auto told =
      Told({.id = {}, .monitor = base::UniqueFd(), .process = base::UniqueFd(), .exit_file = {}, .socket = {}});
  ASSERT_TRUE(told);
  EXPECT_FALSE(told->has_value());
}

}  // namespace
}  // namespace berth::container
