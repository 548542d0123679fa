#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <iostream>

#include "tests/unit/conmon/monitor_fixture.h"

namespace berth::conmon {
namespace {

using testing::ElementsAre;

// runc or crun with a bundle that holds one static program.
class RealRuntimeTest : public MonitorFixture, public testing::WithParamInterface<const char*> {
 protected:
  base::Path FindRuntime() const {
    for (const char* folder : {"/usr/bin", "/usr/sbin", "/usr/local/bin"}) {
      if (const base::Path path = base::Path(folder) / GetParam(); base::Exists(path)) return path;
    }
    return {};
  }
  void WriteBundle(bool terminal, const char* argument = "--container", const char* resources = "{}") const {
    ASSERT_TRUE(base::MakeDirs(folder_ / "rootfs" / "proc"));
    ASSERT_TRUE(base::MakeDirs(folder_ / "rootfs" / "dev"));
    const auto program = base::ReadFile(BERTH_FAKE_RUNTIME);
    ASSERT_TRUE(program);
    ASSERT_TRUE(base::WriteFile(folder_ / "rootfs" / "program", *program, 0755));
    ASSERT_TRUE(base::WriteFile(
        folder_ / "config.json",
        base::Cat(R"({"ociVersion":"1.0.2","root":{"path":"rootfs"},
      "process":{"terminal":)",
                  terminal ? "true" : "false", R"(,"user":{"uid":0,"gid":0},"args":["/program",")", argument, R"("],
      "env":["PATH=/"],"cwd":"/"},"linux":{"cgroupsPath":"/)",
                  id_, R"(","resources":)", resources,
                  R"(,"namespaces":[{"type":"mount"},{"type":"pid"}]},
      "mounts":[{"destination":"/proc","type":"proc","source":"proc"},{"destination":"/dev","type":"tmpfs","source":"tmpfs"},
      {"destination":"/dev/pts","type":"devpts","source":"devpts","options":["newinstance","ptmxmode=0666"]}]})")));
  }
  base::Status Runtime(const std::vector<std::string>& arguments) const {
    base::RunOptions run;
    run.spawn.program = FindRuntime();
    run.spawn.arguments = {GetParam(), "--root", (folder_ / "root").native()};
    run.spawn.arguments.insert(run.spawn.arguments.end(), arguments.begin(), arguments.end());
    ASSIGN_OR_RETURN(const base::RunResult result, base::Run(std::move(run), Bound()));
    if (result.exit.code != 0) return base::Fail(base::Code::kInternal, result.errors);
    return {};
  }
  LaunchOptions RuntimeOptions(bool terminal) const {
    LaunchOptions options = Options("");
    options.terminal = terminal;
    options.runtime = {FindRuntime().native(),
                       "--root",
                       (folder_ / "root").native(),
                       "--log",
                       options.runtime_log.native(),
                       "--log-format",
                       "json",
                       "create",
                       "--bundle",
                       folder_.native(),
                       "--pid-file",
                       options.pid_file.native()};
    if (terminal) options.runtime.insert(options.runtime.end(), {"--console-socket", kConsoleSocketPlaceholder});
    options.runtime.push_back(id_);
    return options;
  }
  void SetUp() override {
    MonitorFixture::SetUp();
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "the container's program is not static with sanitizers";
#endif
    if (FindRuntime().empty()) GTEST_SKIP() << GetParam() << " is not installed";
    if (geteuid() != 0) GTEST_SKIP() << "an OCI runtime needs root";
    // crun refuses a hybrid hierarchy: hide its v2 half in a mount namespace of this test process.
    static const bool kApart =
        unshare(CLONE_NEWNS) == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    if (!kApart) GTEST_SKIP() << "no mount namespace of our own";
    static const bool kHidden =
        !base::Exists("/sys/fs/cgroup/unified") || mount("none", "/sys/fs/cgroup/unified", "tmpfs", 0, nullptr) == 0;
    if (!kHidden) GTEST_SKIP() << "cannot hide the unified hierarchy";
  }
  void TearDown() override {
    if (created_) (void)Runtime({"delete", "--force", id_});
    MonitorFixture::TearDown();
  }

  std::string id_ = base::Cat("berth-conmon-", getpid());
  bool created_ = false;
};

TEST_P(RealRuntimeTest, LogsAndRecordsARealContainer) {
  WriteBundle(false);
  auto launched = LaunchMonitor(RuntimeOptions(false), Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  created_ = true;
  const auto started = Runtime({"start", id_});
  ASSERT_TRUE(started) << started.error().Text();
  const auto record = Finish(*launched);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->code, 11);
  EXPECT_THAT(Records(ReadLog()), testing::UnorderedElementsAre("stdout F hello", "stderr F oops"));
}

TEST_P(RealRuntimeTest, TerminalComesThroughTheConsoleSocket) {
  WriteBundle(true);
  auto launched = LaunchMonitor(RuntimeOptions(true), Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  created_ = true;
  const auto started = Runtime({"start", id_});
  ASSERT_TRUE(started) << started.error().Text();
  ASSERT_TRUE(Finish(*launched));
  EXPECT_THAT(Records(ReadLog()), ElementsAre("stdout F a terminal\r"));
}

TEST_P(RealRuntimeTest, FailedCreateHasTheRuntimesWords) {
  WriteBundle(false);
  LaunchOptions options = RuntimeOptions(false);
  ASSERT_TRUE(base::WriteFile(folder_ / "config.json", "{"));
  const auto launched = LaunchMonitor(options, Bound());
  ASSERT_FALSE(launched);
  EXPECT_EQ(launched.error().message.find("\"msg\""), std::string::npos) << launched.error().message;
  EXPECT_EQ(launched.error().message.find("no error text"), std::string::npos) << launched.error().message;
  std::cout << launched.error().message << "\n";
}

TEST_P(RealRuntimeTest, CountsOomKills) {
  WriteBundle(false, "--eat", R"({"memory":{"limit":16777216,"swap":16777216}})");
  auto launched = LaunchMonitor(RuntimeOptions(false), Bound());
  if (!launched) GTEST_SKIP() << "no memory limits here: " << launched.error().Text();
  created_ = true;
  const auto started = Runtime({"start", id_});
  ASSERT_TRUE(started) << started.error().Text();
  const auto record = Finish(*launched);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->code, 137);
  EXPECT_EQ(record->oom_kills, 1u);
}

INSTANTIATE_TEST_SUITE_P(Runtimes, RealRuntimeTest, testing::Values("crun", "runc"),
                         [](const auto& runtime) { return std::string(runtime.param); });

}  // namespace
}  // namespace berth::conmon
