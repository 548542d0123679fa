#include "base/context.h"

#include <poll.h>
#include <unistd.h>

#include <limits>
#include <thread>

#include <gtest/gtest.h>

#include "base/child.h"

namespace berth::base {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

constexpr std::chrono::seconds kLong{60};

bool Readable(int fd) {
  pollfd one{fd, POLLIN, 0};
  return poll(&one, 1, 0) == 1;
}

TEST(Context, DefaultNeverEnds) {
  const Context context;
  context.Cancel();
  EXPECT_FALSE(context.cancelled());
  EXPECT_EQ(context.fd(), -1);
  EXPECT_EQ(context.deadline(), TimePoint::max());
  EXPECT_TRUE(context.Check("x").has_value());
  EXPECT_EQ(context.id(), "");
}

TEST(Context, CopiesShareOneCancellation) {
  const Context context = Context::Make("r7");
  const Context copy = context;
  const Context shorter = context.WithTimeout(kLong);
  EXPECT_FALSE(Readable(copy.fd()));
  context.Cancel();
  context.Cancel();
  for (const Context& one : {context, copy, shorter}) {
    EXPECT_TRUE(one.cancelled());
    EXPECT_TRUE(Readable(one.fd()));
    EXPECT_EQ(one.id(), "r7");
    const Status status = one.Check("work");
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Code::kCancelled);
    EXPECT_EQ(status.error().message, "work: cancelled");
  }
}

TEST(Context, WithTimeoutKeepsTheEarlierDeadline) {
  const TimePoint soon = Monotonic::now() + kLong;
  const Context context = Context::Make("r", soon);
  EXPECT_EQ(context.WithTimeout(hours(1)).deadline(), soon);
  EXPECT_LT(context.WithTimeout(milliseconds(1)).deadline(), soon);
  EXPECT_EQ(context.deadline(), soon);
}

TEST(Context, TimeoutBeyondTheClockIsNone) {
  EXPECT_EQ(Context().WithTimeout(std::chrono::nanoseconds::max()).deadline(), TimePoint::max());
}

TEST(Context, PassedDeadlineIsToldAtOnce) {
  const Context context = Context().WithTimeout(milliseconds(-1));
  const Status status = context.Check("pull");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kDeadlineExceeded);
  EXPECT_EQ(status.error().message, "pull: deadline exceeded");
}

TEST(ContextWait, TellsThatTheDescriptorIsReady) {
  auto pipe = MakePipe();
  ASSERT_TRUE(pipe);
  ASSERT_EQ(write(pipe->write.get(), "x", 1), 1);
  EXPECT_TRUE(Context::Make().WithTimeout(kLong).Wait(pipe->read.get(), POLLIN, "pipe").value());
}

TEST(ContextWait, HangUpCountsAsReady) {
  auto pipe = MakePipe();
  ASSERT_TRUE(pipe);
  pipe->write.Reset();
  EXPECT_TRUE(Context().WithTimeout(kLong).Wait(pipe->read.get(), POLLIN, "pipe").value());
}

TEST(ContextWait, UntilIsNoError) {
  const auto pipe = MakePipe();
  ASSERT_TRUE(pipe);
  const auto ready =
      Context().WithTimeout(kLong).Wait(pipe->read.get(), POLLIN, "pipe", Monotonic::now() + milliseconds(1));
  ASSERT_TRUE(ready);
  EXPECT_FALSE(*ready);
}

TEST(ContextWait, DeadlineIsAnError) {
  const auto ready = Context().WithTimeout(milliseconds(1)).Wait(-1, 0, "nothing", Monotonic::now() + kLong);
  ASSERT_FALSE(ready);
  EXPECT_EQ(ready.error().code, Code::kDeadlineExceeded);
}

TEST(ContextWait, CancelledFromAnotherThread) {
  const Context context = Context::Make("r", Monotonic::now() + kLong);
  std::jthread other([&] { context.Cancel(); });
  const auto ready = context.Wait(-1, 0, "nothing");
  other.join();
  ASSERT_FALSE(ready);
  EXPECT_EQ(ready.error().code, Code::kCancelled);
}

TEST(PollTimeout, RoundsUpAndFits) {
  EXPECT_EQ(PollTimeout(TimePoint::max()), -1);
  EXPECT_EQ(PollTimeout(Monotonic::now() - hours(1)), 0);
  EXPECT_EQ(PollTimeout(Monotonic::now() + hours(24 * 365)), std::numeric_limits<int>::max());
  const int hour = PollTimeout(Monotonic::now() + hours(1));
  EXPECT_GT(hour, 3'500'000);
  EXPECT_LE(hour, 3'600'000);
}

}  // namespace
}  // namespace berth::base
