#include "state/operations.h"

#include <atomic>
#include <future>
#include <optional>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/executor.h"

namespace berth::state {
namespace {

using base::Code;
using base::Context;
using base::Fail;
using base::Result;
using base::Status;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using testing::HasSubstr;
using testing::MatchesRegex;

using Table = Operations<std::string>;

// Something that a body waits for and the test sets.
class Gate {
 public:
  void Open() { promise_.set_value(); }
  void Wait() { future_.wait(); }

 private:
  std::promise<void> promise_;
  std::shared_future<void> future_{promise_.get_future()};
};

class OperationsTest : public testing::Test {
 protected:
  Table::Call Make(const std::string& key, std::function<Result<std::string>(const Context&, Stage&)> body,
                   nanoseconds timeout = nanoseconds::max()) {
    return {.key = key,
            .fingerprint = "f",
            .what = "Run " + key,
            .timeout = timeout,
            .submit = [this](std::function<void()> work) { return executor_->Submit(std::move(work)); },
            .body = std::move(body)};
  }
  std::future<Result<std::string>> Start(Table::Call call, Context caller = {}) {
    return std::async(std::launch::async,
                      [this, call = std::move(call), caller]() mutable { return table_.Run(std::move(call), caller); });
  }

  Table table_;
  // Waits for bodies that outlive their calls: they use the test's variables.
  void FinishBodies() { executor_.reset(); }

  std::optional<base::Executor> executor_{base::Executor::Options{.name = "bodies", .threads = 8}};
};

TEST_F(OperationsTest, AnswersWithTheBodysResult) {
  const auto ok = table_.Run(Make("a", [](const Context&, Stage&) -> Result<std::string> { return "done"; }), {});
  EXPECT_EQ(ok.value(), "done");
  const auto failed = table_.Run(
      Make("a", [](const Context&, Stage&) -> Result<std::string> { return Fail(Code::kNotFound, "nothing"); }), {});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Code::kNotFound);
  EXPECT_TRUE(table_.List().empty());
}

TEST_F(OperationsTest, BodyHasTheStartersIdAndTheOperationsDeadline) {
  const Context caller = Context::Make("req-1", base::Monotonic::now() + std::chrono::hours(1));
  const auto result = table_.Run(Make(
                                     "a",
                                     [&](const Context& context, Stage&) -> Result<std::string> {
                                       EXPECT_GT(context.deadline(), caller.deadline());
                                       return context.id();
                                     },
                                     std::chrono::hours(2)),
                                 caller);
  EXPECT_EQ(result.value(), "req-1");
}

TEST_F(OperationsTest, SameKeyJoinsAndGetsTheSameAnswer) {
  Gate entered;
  Gate leave;
  std::atomic<int> bodies = 0;
  const auto body = [&](const Context&, Stage& stage) -> Result<std::string> {
    stage.Enter("waiting");
    entered.Open();
    leave.Wait();
    return "body " + std::to_string(++bodies);
  };
  std::vector<std::future<Result<std::string>>> callers;
  callers.push_back(Start(Make("a", body)));
  entered.Wait();
  // Joined before the gate opens: had they started bodies of their own, entered.Open() would throw.
  for (int i = 0; i < 8; ++i) {
    auto call = Make("a", body);
    call.submit = [](std::function<void()>) -> Status { return Fail(Code::kInternal, "started a second one"); };
    callers.push_back(Start(std::move(call), Context::Make()));
  }
  ASSERT_EQ(table_.List().size(), 1u);
  EXPECT_EQ(table_.List()[0].timeline.steps[0].stage, "waiting");
  // A caller that leaves at once has certainly joined: the others need no such proof to get the answer or be first.
  const Context gone = Context::Make();
  gone.Cancel();
  EXPECT_EQ(table_.Run(Make("a", body), gone).error().code, Code::kCancelled);
  std::this_thread::yield();
  leave.Open();
  EXPECT_EQ(callers[0].get().value(), "body 1");
  for (size_t i = 1; i < callers.size(); ++i) {
    const auto result = callers[i].get();
    // One that came too late to join started anew, which its submit refuses.
    if (result) {
      EXPECT_EQ(*result, "body 1");
    } else {
      EXPECT_EQ(result.error().message, "started a second one");
    }
  }
  FinishBodies();
}

TEST_F(OperationsTest, DifferentKeysRunSideBySide) {
  Gate entered;
  Gate leave;
  auto first = Start(Make("a", [&](const Context&, Stage&) -> Result<std::string> {
    entered.Open();
    leave.Wait();
    return "a";
  }));
  entered.Wait();
  EXPECT_EQ(table_.Run(Make("b", [](const Context&, Stage&) -> Result<std::string> { return "b"; }), {}).value(), "b");
  leave.Open();
  EXPECT_EQ(first.get().value(), "a");
  FinishBodies();
}

TEST_F(OperationsTest, AnotherRequestUnderTheSameKeyIsRefusedWithTheStage) {
  Gate entered;
  Gate leave;
  auto first = Start(Make("a", [&](const Context&, Stage& stage) -> Result<std::string> {
    stage.Enter("cni bridge");
    entered.Open();
    leave.Wait();
    return "a";
  }));
  entered.Wait();
  auto other = Make("a", nullptr);
  other.fingerprint = "g";
  const auto refused = table_.Run(std::move(other), {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kAlreadyExists);
  EXPECT_THAT(refused.error().message,
              MatchesRegex("Run a: another request of that name is in flight, in stage cni bridge for [0-9]+ s"));
  leave.Open();
  EXPECT_TRUE(first.get());
  FinishBodies();
}

TEST_F(OperationsTest, CallerThatLeavesDoesNotCancelTheOperation) {
  Gate entered;
  Gate leave;
  const Context caller = Context::Make();
  auto first = Start(Make("a",
                          [&](const Context& context, Stage&) -> Result<std::string> {
                            entered.Open();
                            leave.Wait();
                            if (context.cancelled()) return Fail(Code::kCancelled, "body was cancelled");
                            return "a";
                          }),
                     caller);
  entered.Wait();
  caller.Cancel();
  const auto left = first.get();
  ASSERT_FALSE(left);
  EXPECT_EQ(left.error().code, Code::kCancelled);
  EXPECT_THAT(left.error().message, HasSubstr("in stage start after 0 s; the operation goes on"));
  EXPECT_EQ(table_.List().size(), 1u);
  auto retry = Start(Make("a", [](const Context&, Stage&) -> Result<std::string> { return "second"; }));
  leave.Open();
  // Joined, or came after its end.
  EXPECT_THAT(retry.get().value(), testing::AnyOf("a", "second"));
  FinishBodies();
}

TEST_F(OperationsTest, CallersDeadlineIsItsOwn) {
  Gate leave;
  auto call = Make("a", [&](const Context& context, Stage&) -> Result<std::string> {
    leave.Wait();
    EXPECT_FALSE(context.cancelled());
    return "a";
  });
  const auto result = table_.Run(std::move(call), Context().WithTimeout(milliseconds(1)));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kDeadlineExceeded);
  EXPECT_THAT(result.error().message, HasSubstr("the operation goes on"));
  leave.Open();
  FinishBodies();
}

TEST_F(OperationsTest, AtItsDeadlineTheNameIsFreeAndTheLateResultIsHandedBack) {
  Gate leave;
  std::promise<Result<std::string>> late;
  std::promise<TimelineSummary> finished;
  std::promise<void> cancelled;
  auto call = Make(
      "a",
      [&](const Context& context, Stage& stage) -> Result<std::string> {
        stage.Enter("cni bridge");
        EXPECT_FALSE(context.Wait(-1, 0, "body"));
        leave.Wait();  // stuck, whatever its context says
        if (context.Check("x").error().code == Code::kCancelled) cancelled.set_value();
        return "late";
      },
      milliseconds(20));
  call.abandoned = [&](Result<std::string> result) { late.set_value(std::move(result)); };
  call.finished = [&](const TimelineSummary& summary, const Result<std::string>&) { finished.set_value(summary); };
  auto second_waiter = Start(call);
  const auto result = second_waiter.get();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kDeadlineExceeded);
  EXPECT_THAT(result.error().message,
              MatchesRegex("Run a: deadline exceeded in stage (cni bridge|start) after [0-9]+ s"));
  EXPECT_TRUE(table_.List().empty());

  const auto retry = table_.Run(Make("a", [](const Context&, Stage&) -> Result<std::string> { return "retry"; }), {});
  EXPECT_EQ(retry.value(), "retry");

  leave.Open();
  EXPECT_EQ(late.get_future().get().value(), "late");
  EXPECT_EQ(finished.get_future().get().steps[0].stage, "cni bridge");
  cancelled.get_future().get();
  FinishBodies();
}

TEST_F(OperationsTest, DeadlineThatNobodyWatchedIsSeenByTheNextCaller) {
  Gate entered;
  Gate leave;
  std::promise<void> abandoned;
  auto call = Make(
      "a",
      [&](const Context&, Stage&) -> Result<std::string> {
        entered.Open();
        leave.Wait();
        return "late";
      },
      milliseconds(10));
  call.abandoned = [&](Result<std::string>) { abandoned.set_value(); };
  const Context caller = Context::Make();
  caller.Cancel();
  EXPECT_FALSE(table_.Run(call, caller));
  entered.Wait();
  EXPECT_FALSE(Context().WithTimeout(milliseconds(20)).Wait(-1, 0, "the deadline"));
  const auto retry = table_.Run(Make("a", [](const Context&, Stage&) -> Result<std::string> { return "retry"; }), {});
  EXPECT_EQ(retry.value(), "retry");
  leave.Open();
  abandoned.get_future().get();
  FinishBodies();
}

TEST_F(OperationsTest, RefusedSubmissionIsTheAnswerAndFreesTheName) {
  auto call = Make("a", nullptr);
  call.submit = [](std::function<void()>) -> Status { return Fail(Code::kResourceExhausted, "full"); };
  EXPECT_EQ(table_.Run(std::move(call), {}).error().code, Code::kResourceExhausted);
  EXPECT_TRUE(table_.List().empty());
}

TEST_F(OperationsTest, CancelAllReachesEveryBody) {
  Gate entered;
  auto first = Start(Make("a", [&](const Context& context, Stage&) -> Result<std::string> {
    entered.Open();
    RETURN_IF_ERROR(context.Wait(-1, 0, "body"));
    return "never";
  }));
  entered.Wait();
  table_.CancelAll();
  const auto result = first.get();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kCancelled);
  FinishBodies();
}

TEST_F(OperationsTest, ManyCallersOfFewKeysAllGetAnAnswer) {
  std::atomic<int> answers = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 100; ++i) {
          const std::string key = std::to_string((t + i) % 3);
          const auto result = table_.Run(Make(key,
                                              [key](const Context&, Stage& stage) -> Result<std::string> {
                                                stage.Enter("only");
                                                return key;
                                              }),
                                         {});
          if (result && *result == key) ++answers;
        }
      });
    }
  }
  EXPECT_EQ(answers, 800);
  EXPECT_TRUE(table_.List().empty());
}

}  // namespace
}  // namespace berth::state
