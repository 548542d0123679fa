#include "state/leftovers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "temp_folder.h"

namespace berth::state {
namespace {

using base::Status;
using base::TimePoint;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;

class Leftovers : public testing::Test {
 protected:
  std::shared_ptr<Ledger> NewLedger(const std::string& id) {
    std::shared_ptr<Ledger> ledger =
        Ledger::Load({folder_ / ("run/" + id + "/ledger"), folder_ / ("state/" + id + "/ledger")}, true).value();
    EXPECT_TRUE(ledger->Intend({.kind = "mount", .target = id}));
    return ledger;
  }

  const TempFolder folder_;
  TimePoint now_{seconds(1000)};
  bool broken_ = true;
  int changed_ = 0;
  LeftoverQueue queue_{{.undoers = {{"mount",
                                     [this](const Entry&, const base::Context&) -> Status {
                                       if (broken_) return base::Fail(base::Code::kInternal, "busy");
                                       return {};
                                     }}},
                        .now = [this] { return now_; },
                        .changed = [this] { ++changed_; }}};
};

TEST_F(Leftovers, EmptyQueueHasNothingDue) {
  EXPECT_EQ(queue_.NextDue(), TimePoint::max());
  EXPECT_EQ(queue_.RunDue(std::chrono::seconds(30)), 0u);
  EXPECT_EQ(queue_.size(), 0u);
  EXPECT_EQ(changed_, 0);
}

TEST_F(Leftovers, PausesDoubleUpToTheLongest) {
  queue_.Add("a", NewLedger("a"), "first");
  EXPECT_EQ(changed_, 1);
  EXPECT_EQ(queue_.List()[0].error, "first");
  for (const int expected : {1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300}) {
    EXPECT_EQ(queue_.NextDue() - now_, seconds(expected));
    now_ = queue_.NextDue() - milliseconds(1);
    EXPECT_EQ(queue_.RunDue(std::chrono::seconds(30)), 0u);
    now_ += milliseconds(1);
    EXPECT_EQ(queue_.RunDue(std::chrono::seconds(30)), 0u);
  }
  EXPECT_EQ(queue_.List()[0].attempts, 11u);
  EXPECT_EQ(queue_.List()[0].error, "mount a: busy");
}

TEST_F(Leftovers, CompletedOnesLeaveAndSaySo) {
  int completed = 0;
  queue_.Add("a", NewLedger("a"), "", [&] { ++completed; });
  queue_.Add("b", NewLedger("b"), "");
  now_ += seconds(1);
  broken_ = false;
  EXPECT_EQ(queue_.RunDue(std::chrono::seconds(30)), 2u);
  EXPECT_EQ(completed, 1);
  EXPECT_EQ(queue_.size(), 0u);
  EXPECT_FALSE(base::Exists(folder_ / "run/a"));
}

TEST_F(Leftovers, SameIdReplaces) {
  queue_.Add("a", NewLedger("a"), "first");
  queue_.Add("a", NewLedger("a"), "second");
  ASSERT_EQ(queue_.List().size(), 1u);
  EXPECT_EQ(queue_.List()[0].error, "second");
}

TEST_F(Leftovers, SweepFindsLedgersWithoutObject) {
  const auto none = OrphanedLedgers(folder_ / "run", folder_ / "state", [](const std::string&) { return false; });
  EXPECT_TRUE(none->empty());
  (void)NewLedger("b");
  (void)NewLedger("a");
  (void)NewLedger("known");
  ASSERT_TRUE(base::MakeDirs(folder_ / "state/c"));
  ASSERT_TRUE(base::WriteFile(folder_ / "state/c/ledger", ""));
  ASSERT_TRUE(base::MakeDirs(folder_ / "state/without"));
  const auto found =
      OrphanedLedgers(folder_ / "run", folder_ / "state", [](const std::string& id) { return id == "known"; });
  EXPECT_THAT(*found, ElementsAre("a", "b", "c"));
}

}  // namespace
}  // namespace berth::state
