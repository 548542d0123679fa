#include "oci/fake_runtime.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/strings.h"

namespace berth::oci {
namespace {

class FakeRuntimeTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/berth-fake-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
  }
  void TearDown() override { (void)base::RemoveTree(folder_); }
  void Create(FakeRuntime& runtime, const std::string& id) {
    const auto arguments = runtime.CreateArguments(
        {.id = id, .bundle = folder_, .pid_file = folder_ / "pid", .log_file = folder_ / "log"});
    base::RunOptions run;
    run.spawn = {.program = arguments[0], .arguments = arguments, .environment = runtime.Environment({})};
    run.drain = std::chrono::milliseconds(0);
    const auto result = base::Run(std::move(run), {});
    ASSERT_TRUE(result) << result.error().Text();
    create_exit_ = result->exit.code;
  }
  base::Path folder_;
  int create_exit_ = -1;
};

TEST_F(FakeRuntimeTest, ProcessRunsTheCommandOnlyAfterStart) {
  FakeRuntime runtime(folder_, "exit 7");
  Create(runtime, "a");
  ASSERT_EQ(create_exit_, 0);
  const auto created = runtime.GetState("a", {});
  ASSERT_TRUE(created) << created.error().Text();
  EXPECT_EQ(created->phase, Phase::kCreated);
  const auto started = runtime.Start("a", {});
  ASSERT_TRUE(started) << started.error().Text();
  int status = 0;
  ASSERT_EQ(waitpid(created->pid, &status, 0), created->pid);
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_EQ(runtime.GetState("a", {})->phase, Phase::kStopped);
  EXPECT_TRUE(runtime.Delete("a", false, {}));
  EXPECT_EQ(runtime.GetState("a", {}).error().code, base::Code::kNotFound);
}

TEST_F(FakeRuntimeTest, ForcedDeleteKills) {
  FakeRuntime runtime(folder_);
  Create(runtime, "a");
  ASSERT_TRUE(runtime.Start("a", {}));
  const pid_t pid = runtime.GetState("a", {})->pid;
  EXPECT_EQ(runtime.Delete("a", false, {}).error().code, base::Code::kFailedPrecondition);
  EXPECT_TRUE(runtime.Delete("a", true, {}));
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

TEST_F(FakeRuntimeTest, OrderedFailuresHappen) {
  FakeRuntime runtime(folder_);
  runtime.Fail("create", base::Error{.message = "no space for it"});
  Create(runtime, "a");
  EXPECT_EQ(create_exit_, 1);
  EXPECT_EQ(ErrorText(base::ReadFile(folder_ / "log").value_or("")), "no space for it");
  runtime.Fail("start", base::Error{.code = base::Code::kInternal, .message = "no"});
  EXPECT_EQ(runtime.Start("a", {}).error().message, "no");
  runtime.Fail("start", std::nullopt);
  EXPECT_EQ(runtime.Start("a", {}).error().code, base::Code::kNotFound);
  EXPECT_EQ(runtime.Calls(), (std::vector<std::string>{"create a", "start a", "start a"}));
}

}  // namespace
}  // namespace berth::oci
