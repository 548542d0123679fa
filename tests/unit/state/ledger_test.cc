#include "state/ledger.h"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <future>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "temp_folder.h"

namespace berth::state {
namespace {

using base::Code;
using base::Durability;
using base::Status;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::IsSubsetOf;

class LedgerTest : public testing::Test {
 protected:
  std::unique_ptr<Ledger> Load(bool same_boot = true) {
    auto ledger = Ledger::Load(files_, same_boot);
    EXPECT_TRUE(ledger) << ledger.error().Text();
    return *std::move(ledger);
  }
  static std::vector<std::string> Targets(const Ledger& ledger) {
    std::vector<std::string> out;
    for (const Entry& entry : ledger.entries()) out.push_back(entry.target);
    return out;
  }
  // Undoers that note what they undo; "stuck" always fails.
  Undoers Noting() {
    const Undoer note = [this](const Entry& entry, const base::Context&) -> Status {
      undone_.push_back(entry.target);
      return {};
    };
    return {{"mount", note}, {"cni", note}, {"stuck", [](const Entry&, const base::Context&) -> Status {
                                               return base::Fail(Code::kInternal, "device busy");
                                             }}};
  }

  const TempFolder folder_;
  const Ledger::Files files_{folder_ / "run/x/ledger", folder_ / "state/x/ledger"};
  std::vector<std::string> undone_;
};

TEST_F(LedgerTest, LoadOfMissingFilesIsEmptyAndMakesNothing) {
  const auto ledger = Load();
  EXPECT_TRUE(ledger->empty());
  EXPECT_FALSE(ledger->owned());
  EXPECT_TRUE(ledger->Sync());
  EXPECT_FALSE(base::Exists(folder_ / "run"));
}

TEST_F(LedgerTest, EntriesAreThereAfterRestart) {
  {
    const auto ledger = Load();
    ASSERT_EQ(ledger->Intend({.kind = "mount", .target = "/m"}).value(), 1u);
    ASSERT_EQ(
        ledger
            ->Intend({.kind = "cni", .target = "net", .details = {{"if", "eth0"}, {"\n", "\"ü"}}, .durable = true},
                     Durability::kDurable)
            .value(),
        2u);
  }
  const auto ledger = Load();
  const auto entries = ledger->entries();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].kind, "mount");
  EXPECT_FALSE(entries[0].durable);
  EXPECT_EQ(entries[1].details, (std::map<std::string, std::string>{{"if", "eth0"}, {"\n", "\"ü"}}));
  EXPECT_TRUE(entries[1].durable);
  EXPECT_EQ(ledger->Intend({.kind = "mount", .target = "/n"}).value(), 3u);
  EXPECT_EQ(ledger->damaged(), 0u);
}

TEST_F(LedgerTest, UndoGoesBackwardsOverBothFilesAndRemovesThem) {
  const auto ledger = Load();
  ASSERT_TRUE(ledger->Intend({.kind = "mount", .target = "1"}));
  ASSERT_TRUE(ledger->Intend({.kind = "cni", .target = "2", .durable = true}));
  ASSERT_TRUE(ledger->Intend({.kind = "mount", .target = "3"}));
  const UndoReport report = ledger->Undo(Noting(), {});
  EXPECT_TRUE(report.complete());
  EXPECT_EQ(report.undone, 3u);
  EXPECT_THAT(undone_, ElementsAre("3", "2", "1"));
  EXPECT_FALSE(base::Exists(folder_ / "run/x"));
  EXPECT_FALSE(base::Exists(folder_ / "state/x"));
  EXPECT_TRUE(ledger->Undo(Noting(), {}).complete());
  EXPECT_EQ(ledger->Intend({.kind = "mount", .target = "4"}).value(), 4u);
  EXPECT_THAT(Targets(*Load()), ElementsAre("4"));
}

TEST_F(LedgerTest, FolderWithOtherFilesStays) {
  const auto ledger = Load();
  ASSERT_TRUE(ledger->Intend({.kind = "cni", .target = "1", .durable = true}));
  ASSERT_TRUE(base::WriteFile(folder_ / "state/x/record.json", "x"));
  EXPECT_TRUE(ledger->Undo(Noting(), {}).complete());
  EXPECT_TRUE(base::Exists(folder_ / "state/x/record.json"));
  EXPECT_FALSE(base::Exists(files_.state));
}

TEST_F(LedgerTest, WhatFailsIsReportedAndStaysWhileTheRestIsUndone) {
  {
    const auto ledger = Load();
    ASSERT_TRUE(ledger->Intend({.kind = "mount", .target = "1"}));
    ASSERT_TRUE(ledger->Intend({.kind = "stuck", .target = "2"}));
    ASSERT_TRUE(ledger->Intend({.kind = "unheard of", .target = "3"}));
    ASSERT_TRUE(ledger->Intend({.kind = "cni", .target = "4", .durable = true}));
    const UndoReport report = ledger->Undo(Noting(), {});
    EXPECT_EQ(report.undone, 2u);
    EXPECT_EQ(report.Text(), "unheard of 3: no undoer for this kind of entry; stuck 2: device busy");
  }
  EXPECT_THAT(undone_, ElementsAre("4", "1"));
  EXPECT_THAT(Targets(*Load()), ElementsAre("2", "3"));
}

TEST_F(LedgerTest, UndoTakesOnlyWhatIsAskedFor) {
  const auto ledger = Load();
  ASSERT_TRUE(ledger->Intend({.kind = "mount", .target = "1"}));
  ASSERT_TRUE(ledger->Own());
  ASSERT_TRUE(ledger->Intend({.kind = "mount", .target = "2"}));
  EXPECT_TRUE(ledger->Undo(Noting(), {}, [](const Entry& entry) { return !entry.owned; }).complete());
  EXPECT_THAT(undone_, ElementsAre("2"));
  EXPECT_THAT(Targets(*Load()), ElementsAre("1"));
}

TEST_F(LedgerTest, OwnershipSurvivesARestart) {
  {
    const auto ledger = Load();
    ASSERT_TRUE(ledger->Intend({.kind = "mount", .target = "1"}));
    ASSERT_TRUE(ledger->Intend({.kind = "cni", .target = "2", .durable = true}));
    EXPECT_FALSE(ledger->owned());
    ASSERT_TRUE(ledger->Own());
    EXPECT_TRUE(ledger->owned());
  }
  const auto ledger = Load();
  EXPECT_TRUE(ledger->owned());
  ASSERT_TRUE(ledger->Intend({.kind = "mount", .target = "3"}));
  EXPECT_FALSE(ledger->owned());
}

TEST_F(LedgerTest, AfterARebootKernelEntriesCountAsUndone) {
  {
    const auto ledger = Load();
    ASSERT_TRUE(ledger->Intend({.kind = "mount", .target = "1"}));
    ASSERT_TRUE(ledger->Intend({.kind = "cni", .target = "2", .durable = true}));
  }
  EXPECT_THAT(Targets(*Load(/*same_boot=*/false)), ElementsAre("2"));
  EXPECT_FALSE(base::Exists(files_.run));
}

TEST_F(LedgerTest, FencedLedgerTakesNoEntryAndKeepsWhatMayStillCome) {
  const auto ledger = Load();
  const uint64_t first = ledger->Intend({.kind = "mount", .target = "1"}).value();
  ASSERT_TRUE(ledger->Intend({.kind = "mount", .target = "2"}));
  ledger->Done(first);
  ledger->Fence();
  const auto refused = ledger->Intend({.kind = "mount", .target = "3"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kCancelled);
  const UndoReport report = ledger->Undo(Noting(), {});
  EXPECT_EQ(report.undone, 1u);
  EXPECT_THAT(undone_, ElementsAre("2", "1"));
  EXPECT_THAT(Targets(*ledger), ElementsAre("2"));
  ledger->Settle();
  EXPECT_TRUE(ledger->Undo(Noting(), {}).complete());
  EXPECT_THAT(undone_, ElementsAre("2", "1", "2"));
}

TEST_F(LedgerTest, ASecondUndoWaitsForTheFirstAndFindsNothingLeft) {
  const auto ledger = Load();
  ASSERT_TRUE(ledger->Intend({.kind = "mount", .target = "1"}));
  UndoReport second;
  std::jthread other;
  const Undoers undoers{{"mount", [&](const Entry&, const base::Context&) -> Status {
                           std::promise<void> begun;
                           other = std::jthread([&] {
                             begun.set_value();
                             second = ledger->Undo(Noting(), {});
                           });
                           begun.get_future().wait();
                           return {};
                         }}};
  EXPECT_TRUE(ledger->Undo(undoers, {}).complete());
  other.join();
  EXPECT_TRUE(second.complete()) << second.Text();
  EXPECT_EQ(second.undone, 0u);
  EXPECT_THAT(undone_, IsEmpty());
}

TEST_F(LedgerTest, ASecondUndoWaitsNoLongerThanItsContext) {
  const auto ledger = Load();
  ASSERT_TRUE(ledger->Intend({.kind = "mount", .target = "1"}));
  UndoReport second;
  const Undoers undoers{{"mount", [&](const Entry&, const base::Context&) -> Status {
                           second = ledger->Undo(Noting(), base::Context().WithTimeout(std::chrono::milliseconds(30)));
                           return {};
                         }}};
  EXPECT_TRUE(ledger->Undo(undoers, {}).complete());
  ASSERT_EQ(second.left.size(), 1u);
  EXPECT_EQ(second.left[0].error.code, Code::kUnavailable);
  EXPECT_THAT(undone_, IsEmpty());
}

TEST_F(LedgerTest, IsUndoneWithNoByteFree) {
  TempFolder small;
  if (const int err = small.MountSmall("256k")) GTEST_SKIP() << "cannot mount a tmpfs: " << strerror(err);
  const Ledger::Files files{small / "run/x/ledger", small / "state/x/ledger"};
  auto ledger = Ledger::Load(files, true).value();
  for (const bool durable : {true, false, true}) {
    ASSERT_TRUE(ledger->Intend({.kind = "cni", .target = std::string(4000, 'x'), .durable = durable}));
  }
  FillUp(small / "fill");
  const auto refused = ledger->Intend({.kind = "mount", .target = std::string(5000, 'x')});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kResourceExhausted);
  EXPECT_EQ(Ledger::Load(files, true).value()->entries().size(), 3u);
  EXPECT_TRUE(ledger->Undo(Noting(), {}).complete());
  EXPECT_FALSE(base::Exists(small / "state/x"));
}

TEST_F(LedgerTest, ThreadsMayIntendAtOnce) {
  const auto ledger = Load();
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 25; ++i) {
          const auto seq = ledger->Intend({.kind = "mount", .target = "x", .durable = t % 2 == 0});
          ASSERT_TRUE(seq);
          ledger->Done(*seq);
          if (i % 10 == 0) {
            EXPECT_TRUE(ledger->Sync());
          }
        }
      });
    }
  }
  const auto again = Load();
  EXPECT_EQ(again->entries().size(), 100u);
  EXPECT_EQ(again->damaged(), 0u);
}

// Every state that a crash can leave: each file cut at any byte.
class LedgerCut : public LedgerTest {
 protected:
  void SetUp() override {
    const auto ledger = Load();
    for (int i = 1; i <= 4; ++i) {
      ASSERT_TRUE(ledger->Intend({.kind = "mount", .target = std::to_string(i), .durable = i % 2 == 0}));
    }
    ASSERT_TRUE(ledger->Own());
    ASSERT_TRUE(ledger->Intend({.kind = "stuck", .target = "5", .durable = true}));
    EXPECT_FALSE(ledger->Undo(Noting(), {}).complete());
    run_ = base::ReadFile(files_.run).value();
    state_ = base::ReadFile(files_.state).value();
  }
  std::string run_;
  std::string state_;
};

TEST_F(LedgerCut, AtAnyByteLoadsWhatWasWhole) {
  for (size_t size = 0; size <= state_.size(); ++size) {
    ASSERT_TRUE(base::WriteFile(files_.run, run_));
    ASSERT_TRUE(base::WriteFile(files_.state, state_.substr(0, size)));
    const auto ledger = Load();
    EXPECT_EQ(ledger->damaged(), 0u) << size;
    // Entries 2 and 4 are undone in the end, 5 is not.
    EXPECT_THAT(Targets(*ledger), IsSubsetOf({"2", "4", "5"})) << size;
    // What is appended to a torn line is not lost with it.
    ASSERT_TRUE(ledger->Intend({.kind = "mount", .target = "after", .durable = true}));
    const auto again = Load();
    EXPECT_EQ(Targets(*again).back(), "after") << size;
    EXPECT_EQ(Targets(*again), Targets(*ledger)) << size;
  }
}

TEST_F(LedgerCut, AnyGarbledByteCostsAtMostTwoLines) {
  for (size_t i = 0; i < state_.size(); ++i) {
    std::string garbled = state_;
    garbled[i] = static_cast<char>(garbled[i] ^ 0x5a);
    ASSERT_TRUE(base::WriteFile(files_.run, run_));
    ASSERT_TRUE(base::WriteFile(files_.state, garbled));
    const auto ledger = Load();
    EXPECT_LE(ledger->damaged(), 2u);
    EXPECT_LE(ledger->entries().size(), 3u) << i;
  }
}

TEST_F(LedgerCut, UndoAfterACutIsComplete) {
  const Undoer succeed = [](const Entry&, const base::Context&) -> Status { return {}; };
  for (size_t size = 0; size <= run_.size(); size += 7) {
    ASSERT_TRUE(base::MakeDirs(files_.run.parent_path()));
    ASSERT_TRUE(base::MakeDirs(files_.state.parent_path()));
    ASSERT_TRUE(base::WriteFile(files_.run, run_.substr(0, size)));
    ASSERT_TRUE(base::WriteFile(files_.state, state_));
    EXPECT_TRUE(Load()->Undo({{"mount", succeed}, {"stuck", succeed}}, {}).complete());
    EXPECT_FALSE(base::Exists(files_.run));
    EXPECT_FALSE(base::Exists(files_.state));
  }
}

TEST_F(LedgerTest, GarbageIsSkippedAndCounted) {
  ASSERT_TRUE(base::MakeDirs(files_.state.parent_path()));
  ASSERT_TRUE(base::WriteFile(files_.state, std::string("\0\0\0\0\n00000000 {}\nhello\n\n", 25)));
  const auto ledger = Load();
  EXPECT_TRUE(ledger->empty());
  EXPECT_EQ(ledger->damaged(), 3u);
}

}  // namespace
}  // namespace berth::state
