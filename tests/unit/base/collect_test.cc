#include <signal.h>

#include <thread>

#include <gtest/gtest.h>

#include "base/child.h"
#include "tests/unit/base/children.h"

namespace berth::base {
namespace {

class Collecting : public testing::Test {
 protected:
  void SetUp() override { signal(SIGPIPE, SIG_IGN); }  // as all our programs do

  Result<Collected> Start(std::string script, const CollectOptions& options, const Context& context) {
    auto in = MakePipe();
    auto out = MakePipe();
    auto err = MakePipe();
    SpawnOptions spawn = Shell(std::move(script));
    spawn.fds = {{in->read.get(), 0}, {out->write.get(), 1}, {err->write.get(), 2}};
    ASSIGN_OR_RETURN(child_, Spawn(spawn));
    pid_ = child_.pid();
    in->read.Reset();
    out->write.Reset();
    err->write.Reset();
    return Collect(child_, std::move(in->write), std::move(out->read), std::move(err->read), options, context,
                   "the script");
  }

  Child child_;
  pid_t pid_ = -1;
};

TEST_F(Collecting, MoreThanAPipeHoldsGoesInAndComesOut) {
  const std::string text(3 << 20, 'x');
  const auto result = Start("cat", {.input = text, .each_limit = 4 << 20}, Bounded());
  ASSERT_TRUE(result) << result.error().Text();
  EXPECT_TRUE(result->output == text);
  EXPECT_FALSE(result->output_cut);
  EXPECT_EQ(child_.pid(), -1) << "reaped";
}

TEST_F(Collecting, StreamsAreKeptApart) {
  const auto result = Start("echo out; echo err >&2; exit 9", {}, Bounded());
  ASSERT_TRUE(result) << result.error().Text();
  EXPECT_EQ(result->output, "out\n");
  EXPECT_EQ(result->errors, "err\n");
  EXPECT_EQ(result->exit.code, 9);
}

TEST_F(Collecting, WhatIsAboveTheLimitIsReadAndDropped) {
  const auto result = Start("head -c 1000000 /dev/zero; echo done >&2", {.each_limit = 1000}, Bounded());
  ASSERT_TRUE(result) << result.error().Text();
  EXPECT_EQ(result->output.size(), 1000u);
  EXPECT_TRUE(result->output_cut);
  EXPECT_EQ(result->errors, "done\n");
  EXPECT_EQ(result->exit.code, 0);
}

TEST_F(Collecting, ExactlyTheLimitIsNotCut) {
  const auto result = Start("head -c 1000 /dev/zero", {.each_limit = 1000}, Bounded());
  ASSERT_TRUE(result);
  EXPECT_EQ(result->output.size(), 1000u);
  EXPECT_FALSE(result->output_cut);
}

TEST_F(Collecting, TheTotalBoundsBothTogether) {
  const auto result =
      Start("head -c 700 /dev/zero; head -c 700 /dev/zero >&2", {.each_limit = 1000, .total_limit = 1000}, Bounded());
  ASSERT_TRUE(result);
  EXPECT_EQ(result->output.size() + result->errors.size(), 1000u);
}

TEST_F(Collecting, InputThatIsNotReadIsNoError) {
  const auto result = Start("exec 0<&-; echo hi", {.input = std::string(1 << 20, 'x')}, Bounded());
  ASSERT_TRUE(result) << result.error().Text();
  EXPECT_EQ(result->output, "hi\n");
}

TEST_F(Collecting, WhoeverInheritedThePipesIsNotWaitedFor) {
  const auto result = Start("sleep 1000 & echo hi", {.drain = std::chrono::milliseconds(20)}, Bounded());
  ASSERT_TRUE(result) << result.error().Text();
  EXPECT_EQ(result->output, "hi\n");
  EXPECT_EQ(kill(-pid_, SIGKILL), 0) << "what it started lives on";
}

TEST_F(Collecting, WhatIsWrittenAfterTheEndIsReadWhileDraining) {
  // The background process writes only once its parent has been reaped.
  const auto result =
      Start("(while kill -0 $$ 2>/dev/null; do :; done; echo late) & echo early", {.drain = kLong}, Bounded());
  ASSERT_TRUE(result) << result.error().Text();
  EXPECT_EQ(result->output, "early\nlate\n");
}

TEST_F(Collecting, AtTheDeadlineTheChildIsStillTheCallers) {
  const auto result = Start("sleep 1000", {}, Context().WithTimeout(std::chrono::milliseconds(20)));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kDeadlineExceeded);
  EXPECT_EQ(result.error().message, "the script: deadline exceeded");
  EXPECT_EQ(child_.pid(), pid_);
}

TEST_F(Collecting, CancellationEndsTheWaiting) {
  const Context context = Context::Make("r1", Monotonic::now() + kLong);
  std::jthread canceller([&] { context.Cancel(); });
  const auto result = Start("sleep 1000", {}, context);
  canceller.join();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kCancelled);
}

TEST(Run, KillsTheGroupAtTheDeadline) {
  auto out = MakePipe();
  ASSERT_TRUE(out);
  SpawnOptions spawn = Shell("sleep 1000 & echo $! >&5; wait");
  spawn.fds.emplace_back(out->write.get(), 5);
  const Context context = Context::Make("r1", Monotonic::now() + kLong);
  Result<RunResult> result = Fail(Code::kUnknown, "not run");
  std::jthread runner([&] { result = base::Run({.spawn = std::move(spawn)}, context); });
  const auto background = OpenPidfd(static_cast<pid_t>(ParseInt(ReadLine(out->read.get())).value_or(-1)));
  context.Cancel();
  runner.join();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kCancelled);
  ASSERT_TRUE(background);
  EXPECT_TRUE(Ends(background->get()));
}

}  // namespace
}  // namespace berth::base
