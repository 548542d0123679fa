#include "base/executor.h"

#include <atomic>
#include <future>
#include <latch>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/beside.h"

namespace berth::base {
namespace {

constexpr std::chrono::seconds kLong{60};

// Work that says that it has begun and then waits to be let go.
class Gate {
 public:
  std::function<void()> Work() {
    return [this] {
      began_.fetch_add(1);
      began_.notify_all();
      open_.wait();
    };
  }
  void AwaitBegun(int count) {
    for (int now = began_.load(); now < count; now = began_.load()) began_.wait(now);
  }
  int begun() const { return began_.load(); }
  void Open() { open_.count_down(); }

 private:
  std::atomic<int> began_ = 0;
  std::latch open_{1};
};

TEST(Executor, RunsEverythingThatWasSubmittedBeforeItsEnd) {
  std::atomic<int> ran = 0;
  {
    Executor executor({.name = "test", .threads = 3, .queue = 10'000});
    std::vector<std::thread> submitters;
    for (int i = 0; i < 4; ++i) {
      submitters.emplace_back([&] {
        for (int j = 0; j < 500; ++j) EXPECT_TRUE(executor.Submit([&] { ++ran; }).has_value());
      });
    }
    for (std::thread& one : submitters) one.join();
  }
  EXPECT_EQ(ran, 2000);
}

TEST(Executor, HasAtMostSoManyThreads) {
  Gate gate;
  std::atomic<int> after = 0;
  {
    Executor executor({.name = "test", .threads = 3});
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(executor.Submit(gate.Work()).has_value());
    gate.AwaitBegun(3);
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(executor.Submit([&] { ++after; }).has_value());
    EXPECT_EQ(after, 0) << "all threads are taken";
    gate.Open();
  }
  EXPECT_EQ(after, 5);
}

TEST(Executor, RefusesWhatItsQueueCannotHold) {
  Gate gate;
  bool refused_ran = false;
  {
    Executor executor({.name = "pull", .threads = 1, .queue = 2});
    ASSERT_TRUE(executor.Submit(gate.Work()).has_value());
    gate.AwaitBegun(1);
    ASSERT_TRUE(executor.Submit([] {}).has_value());
    ASSERT_TRUE(executor.Submit([] {}).has_value());
    const Status third = executor.Submit([&] { refused_ran = true; });
    EXPECT_FALSE(third);
    if (!third) {
      EXPECT_EQ(third.error().code, Code::kResourceExhausted);
      EXPECT_EQ(third.error().message, "pull: 2 calls are waiting already");
    }
    gate.Open();
  }
  EXPECT_FALSE(refused_ran);
}

TEST(Executor, OneThreadKeepsTheOrder) {
  std::vector<int> order;
  {
    Executor executor({.name = "test", .threads = 1});
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(executor.Submit([&order, i] { order.push_back(i); }).has_value());
  }
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(Executor, FullOneStarvesNoOther) {
  Gate gate;
  Executor full({.name = "stop", .threads = 1});
  Executor other({.name = "query", .threads = 1});
  ASSERT_TRUE(full.Submit(gate.Work()).has_value());
  gate.AwaitBegun(1);
  std::promise<void> ran;
  ASSERT_TRUE(other.Submit([&] { ran.set_value(); }).has_value());
  EXPECT_EQ(ran.get_future().wait_for(kLong), std::future_status::ready);
  gate.Open();
}

// Two that need each other, given to an executor with one idle thread: the second must not wait behind the first.
TEST(Executor, IdleThreadDoesNotHoldBackASecondOne) {
  Executor executor({.name = "test", .threads = 2});
  for (int round = 0; round < 200; ++round) {
    auto both = std::make_shared<std::latch>(2);
    auto done = std::make_shared<std::latch>(2);
    for (int i = 0; i < 2; ++i) {
      ASSERT_TRUE(executor
                      .Submit([both, done] {
                        both->arrive_and_wait();
                        done->count_down();
                      })
                      .has_value());
    }
    done->wait();  // the test's time-out tells when this never comes
  }
}

// Libraries too do things at a thread's end, which must not meet the end of the process.
TEST(Executor, IsGoneOnlyOnceItsThreadsHaveEndedWhole) {
  static std::atomic<int> ended;
  struct AtEnd {
    int touched = 0;
    ~AtEnd() {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      ended += touched;
    }
  };
  ended = 0;
  Gate gate;
  {
    Executor executor({.name = "test", .threads = 3});
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(executor.Submit([work = gate.Work()] {
        thread_local AtEnd at_end;
        at_end.touched = 1;
        work();
      }));
    }
    gate.AwaitBegun(3);
    gate.Open();
  }
  EXPECT_EQ(ended, 3);
}

TEST(Executor, WorkIsLetGoOfWhenItHasRun) {
  Executor executor({.name = "test", .threads = 1});
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = held;
  ASSERT_TRUE(executor.Submit([held = std::move(held)] {}).has_value());
  std::promise<bool> gone;
  ASSERT_TRUE(executor.Submit([&] { gone.set_value(watch.expired()); }).has_value());
  EXPECT_TRUE(gone.get_future().get());
}

TEST(Beside, JoinGivesWhatTheWorkReturned) {
  Executor executor({.name = "disk", .threads = 1});
  Beside good(executor, [] { return Status(); });
  Beside bad(executor, []() -> Status { return Fail(Code::kResourceExhausted, "disk full"); });
  EXPECT_TRUE(good.Join().has_value());
  const Status status = bad.Join();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message, "disk full");
}

TEST(Beside, RunsInPlaceWhenTheExecutorIsFull) {
  Gate gate;
  Executor executor({.name = "disk", .threads = 1, .queue = 1});
  ASSERT_TRUE(executor.Submit(gate.Work()).has_value());
  gate.AwaitBegun(1);
  ASSERT_TRUE(executor.Submit([] {}).has_value());
  const auto self = std::this_thread::get_id();
  std::thread::id ran_on;
  Beside work(executor, [&] {
    ran_on = std::this_thread::get_id();
    return Status();
  });
  EXPECT_TRUE(work.Join().has_value());
  EXPECT_EQ(ran_on, self);
  gate.Open();
}

}  // namespace
}  // namespace berth::base
