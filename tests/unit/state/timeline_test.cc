#include "state/timeline.h"

#include <nlohmann/json.hpp>

#include <gtest/gtest.h>

namespace berth::state {
namespace {

TEST(Timeline, StepsFollowEachOther) {
  Timeline timeline;
  EXPECT_EQ(timeline.stage(), "start");
  timeline.Enter("netns");
  timeline.Enter("cni bridge");
  EXPECT_EQ(timeline.stage(), "cni bridge");
  timeline.Finish();
  timeline.Enter("late");
  const TimelineSummary summary = timeline.Summary();
  ASSERT_EQ(summary.steps.size(), 2u);
  EXPECT_EQ(summary.steps[0].stage, "netns");
  EXPECT_EQ(summary.steps[1].stage, "cni bridge");
  EXPECT_GE(summary.steps[0].started_at, summary.started_at);
  EXPECT_GE(summary.duration, summary.steps[0].duration + summary.steps[1].duration);
  EXPECT_EQ(timeline.Summary(), summary);
}

TEST(Timeline, StepsAreBounded) {
  Timeline timeline;
  for (size_t i = 0; i < 2 * Timeline::kMaxSteps; ++i) timeline.Enter(std::to_string(i));
  EXPECT_EQ(timeline.Summary().steps.size(), Timeline::kMaxSteps);
  EXPECT_EQ(timeline.stage(), "199");
}

TEST(Timeline, JsonKeepsEverything) {
  Timeline timeline;
  timeline.Enter("a");
  timeline.Enter("b");
  timeline.Finish();
  const auto again = TimelineFromJson(ToJson(timeline.Summary()), "timeline");
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, timeline.Summary());
}

TEST(Timeline, JsonOfWrongTypeIsAnError) {
  EXPECT_FALSE(TimelineFromJson(nlohmann::json::parse(R"({"steps": 1})"), "timeline"));
  EXPECT_FALSE(TimelineFromJson(nlohmann::json::parse(R"({"steps": [1]})"), "timeline"));
  EXPECT_FALSE(TimelineFromJson(nlohmann::json::parse(R"([])"), "timeline"));
  EXPECT_TRUE(TimelineFromJson(nlohmann::json::parse(R"({})"), "timeline"));
}

}  // namespace
}  // namespace berth::state
