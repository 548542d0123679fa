// Runs the real monitor with a shell command as the container and a small program as the OCI runtime.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/strings.h"
#include "conmon/client.h"

namespace berth::conmon {

class MonitorFixture : public testing::Test {
 protected:
  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);
    char name[] = "/tmp/berth-conmon-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { (void)base::RemoveTree(folder_); }

  // Bounded so that a defect fails the test instead of hanging it.
  base::Context Bound() const { return base::Context().WithTimeout(std::chrono::seconds(60)); }

  LaunchOptions Options(const std::string& command) const { return OptionsIn(folder_, command); }
  static LaunchOptions OptionsIn(const base::Path& folder, const std::string& command) {
    LaunchOptions options;
    options.monitor = BERTH_MONITOR;
    options.id = "test";
    options.run_folder = folder;
    options.socket = folder / "monitor.sock";
    options.exit_file = folder / "exit";
    options.pid_file = folder / "pid";
    options.runtime_log = folder / "runtime.log";
    options.log = folder / "0.log";
    options.create_limit = std::chrono::seconds(30);
    options.environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "D=" + folder.native()};
    options.runtime = {BERTH_FAKE_RUNTIME, "-", options.pid_file.native(), command};
    return options;
  }
  LaunchOptions TerminalOptions(const std::string& command) const {
    LaunchOptions options = Options(command);
    options.terminal = true;
    options.runtime = {BERTH_FAKE_RUNTIME, kConsoleSocketPlaceholder, options.pid_file.native(), command};
    return options;
  }
  MonitorConnection Connect() const {
    auto connection = MonitorConnection::Connect(folder_ / "monitor.sock", Bound());
    EXPECT_TRUE(connection) << connection.error().Text();
    return *std::move(connection);
  }
  // Waits for the monitor's own end and reads what it left.
  std::optional<ExitRecord> Finish(Launched& launched) const {
    const auto exit = launched.monitor.Wait(Bound(), "monitor");
    EXPECT_TRUE(exit) << exit.error().Text();
    if (!exit) return std::nullopt;
    EXPECT_EQ(exit->code, 0);
    auto record = ReadExitRecord(folder_ / "exit");
    EXPECT_TRUE(record);
    return record ? *record : std::nullopt;
  }
  std::string ReadLog() const { return base::ReadFile(folder_ / "0.log", 64 << 20).value_or(""); }
  void MakeFifo(const char* name) const { ASSERT_EQ(mkfifo((folder_ / name).c_str(), 0600), 0); }
  // Lets a shell go on that waits in `read x < $D/<name>`.
  void Release(const char* name) const {
    auto fifo = base::Open(folder_ / name, O_WRONLY);
    ASSERT_TRUE(fifo);
    ASSERT_TRUE(base::WriteAll(fifo->get(), "go\n", name));
  }

  base::Path folder_;
};

// "stdout F text" without times, for each line of a log; a line that is no record is kept as it is.
inline std::vector<std::string> Records(const std::string& log) {
  std::vector<std::string> out;
  for (const auto line : base::Split(log, '\n')) {
    if (line.empty()) continue;
    out.emplace_back(line.size() > 31 && line[29] == 'Z' && line[30] == ' ' ? line.substr(31) : line);
  }
  return out;
}

}  // namespace berth::conmon
