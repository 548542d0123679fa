#include "state/timelines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "temp_folder.h"

namespace berth::state {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class TimelinesTest : public testing::Test {
 protected:
  static OperationRecord Record(const std::string& object, const std::string& operation = "RunPodSandbox") {
    return {.operation = operation,
            .object = object,
            .request = "7-1",
            .code = "INTERNAL",
            .timeline = {.started_at = 5,
                         .duration = std::chrono::nanoseconds(9),
                         .steps = {{"cni ADD bridge", 6, std::chrono::nanoseconds(3)}}}};
  }

  TempFolder temp_;
  base::Path folder_ = temp_ / "timelines";
  Timelines timelines_{folder_};
};

TEST_F(TimelinesTest, EverythingOfAnOperationIsKeptOverARestart) {
  ASSERT_TRUE(timelines_.Open([](const std::string&) { return true; }));
  timelines_.Begin("a");
  timelines_.Add(Record("a"));
  timelines_.Add(Record("a", "StopPodSandbox"));
  const Timelines again(folder_);
  ASSERT_TRUE(again.Open([](const std::string& id) { return id == "a"; }));
  const auto kept = again.Read("a");
  ASSERT_EQ(kept.size(), 2u);
  EXPECT_EQ(kept[0].operation, "RunPodSandbox");
  EXPECT_EQ(kept[0].object, "a");
  EXPECT_EQ(kept[0].request, "7-1");
  EXPECT_EQ(kept[0].code, "INTERNAL");
  EXPECT_EQ(kept[0].timeline, Record("a").timeline);
  EXPECT_EQ(kept[1].operation, "StopPodSandbox");
}

TEST_F(TimelinesTest, NothingIsKeptOfWhatIsNotThere) {
  ASSERT_TRUE(timelines_.Open([](const std::string&) { return true; }));
  timelines_.Add(Record("never"));
  timelines_.Add(Record(""));
  timelines_.Begin("gone");
  timelines_.Add(Record("gone"));
  timelines_.Forget("gone");
  timelines_.Add(Record("gone"));
  EXPECT_THAT(timelines_.Read("never"), IsEmpty());
  EXPECT_THAT(timelines_.Read("gone"), IsEmpty());
  EXPECT_THAT(base::ListFolder(folder_).value(), IsEmpty());
}

TEST_F(TimelinesTest, TheStartForgetsWhatIsUnknown) {
  ASSERT_TRUE(timelines_.Open([](const std::string&) { return true; }));
  timelines_.Begin("a");
  timelines_.Begin("b");
  ASSERT_TRUE(timelines_.Open([](const std::string& id) { return id == "b"; }));
  EXPECT_THAT(base::ListFolder(folder_).value(), ElementsAre("b"));
}

TEST_F(TimelinesTest, TornAndForeignLinesAreLeftOut) {
  ASSERT_TRUE(timelines_.Open([](const std::string&) { return true; }));
  timelines_.Begin("a");
  timelines_.Add(Record("a"));
  const std::string whole = base::ReadFile(folder_ / "a").value();
  ASSERT_TRUE(
      base::WriteFile(folder_ / "a", "[]\n\xff\n{\"operation\":1}\n" + whole + whole.substr(0, whole.size() / 2)));
  EXPECT_EQ(timelines_.Read("a").size(), 1u);
}

TEST_F(TimelinesTest, TheFileIsBoundedAndKeepsTheNewest) {
  ASSERT_TRUE(timelines_.Open([](const std::string&) { return true; }));
  timelines_.Begin("a");
  for (int i = 0; i < 3000; ++i) timelines_.Add(Record("a", std::to_string(i)));
  EXPECT_LE(std::filesystem::file_size(folder_ / "a"), Timelines::kMostBytes);
  const auto kept = timelines_.Read("a");
  EXPECT_GT(kept.size(), 100u);
  EXPECT_EQ(kept.back().operation, "2999");
}

TEST_F(TimelinesTest, KeeperBeginsTheObjectThatIsTheResult) {
  std::vector<OperationRecord> told;
  const Timelines timelines(folder_, [&](const OperationRecord& record) { told.push_back(record); });
  ASSERT_TRUE(timelines.Open([](const std::string&) { return true; }));
  const auto create = timelines.Keeper("CreateContainer", {}, "7-1");
  create({}, base::Fail(base::Code::kNotFound, "no image"));
  create({}, std::string("a"));
  timelines.Keeper("StartContainer", "a", "7-2")({}, base::Fail(base::Code::kInternal, "no"));
  ASSERT_EQ(told.size(), 3u);
  EXPECT_EQ(told[0].object, "");
  EXPECT_EQ(told[0].code, "NOT_FOUND");
  EXPECT_EQ(told[1].object, "a");
  EXPECT_EQ(told[1].code, "");
  const auto kept = timelines.Read("a");
  ASSERT_EQ(kept.size(), 2u);
  EXPECT_EQ(kept[1].operation, "StartContainer");
  EXPECT_EQ(kept[1].code, "INTERNAL");
}

TEST_F(TimelinesTest, TimedUndoersTellWhatTheyUndo) {
  Timeline timeline;
  int undone = 0;
  const Undoer undo = [&](const Entry&, const base::Context&) -> base::Status {
    ++undone;
    return {};
  };
  const Undoers timed = Timed({{"mount", undo}, {"cni", undo}}, timeline);
  for (const char* kind : {"mount", "mount", "cni"}) ASSERT_TRUE(timed.at(kind)({.kind = kind, .target = "/x"}, {}));
  EXPECT_EQ(undone, 3);
  const TimelineSummary summary = timeline.Summary();
  ASSERT_EQ(summary.steps.size(), 2u);  // the same again is the same step
  EXPECT_EQ(summary.steps[0].stage, "undo mount");
  EXPECT_EQ(summary.steps[1].stage, "undo cni");
}

}  // namespace
}  // namespace berth::state
