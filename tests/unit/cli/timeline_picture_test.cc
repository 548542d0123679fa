#include "cli/timeline_picture.h"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

constexpr int64_t kMilli = 1'000'000;
constexpr int64_t kStart = 1'480'291'200'123 * kMilli;  // 2016-11-28 00:00:00.123

TEST(TimelinePicture, BarsLieWhereTheStepsWere) {
  const PictureOperation run{
      .operation = "RunPodSandbox",
      .code = "",
      .started_at = kStart,
      .duration = 80 * kMilli,
      .steps = {{"files", kStart, 20 * kMilli}, {"cni ADD bridge", kStart + 20 * kMilli, 60 * kMilli}}};
  const PictureOperation stop{.operation = "StopPodSandbox",
                              .code = "DEADLINE_EXCEEDED",
                              .started_at = kStart + 1000 * kMilli,
                              .duration = 200 * kMilli,
                              .steps = {{"undo mount", kStart + 1100 * kMilli, 100 * kMilli}}};
  EXPECT_EQ(DrawTimeline({run, stop}),
            "RunPodSandbox  80.0 ms  2016-11-28 00:00:00.123 UTC\n"
            "  files            20.0 ms  |##########                              |\n"
            "  cni ADD bridge   60.0 ms  |          ##############################|\n"
            "StopPodSandbox (DEADLINE_EXCEEDED)  200.0 ms  2016-11-28 00:00:01.123 UTC\n"
            "  undo mount      100.0 ms  |                    ####################|\n");
}

TEST(TimelinePicture, EveryStepHasAMarkWithinThePicture) {
  // Clocks may jump: nothing lies outside.
  const PictureOperation operation{.operation = "X",
                                   .code = "",
                                   .started_at = kStart,
                                   .duration = 0,
                                   .steps = {{"none", kStart, 0}, {"before", 0, 5}, {"behind", 2 * kStart, kMilli}}};
  const std::string text = DrawTimeline({operation});
  EXPECT_NE(text.find("  none    0.0 ms  |#                                       |\n"), std::string::npos) << text;
  EXPECT_NE(text.find("|#                                       |\n", text.find("before")), std::string::npos) << text;
  EXPECT_NE(text.find("|                                       #|\n", text.find("behind")), std::string::npos) << text;
}

TEST(TimelinePicture, ReadsWhatTheDaemonTells) {
  const auto parsed = ParseTimeline(
      R"([{"operation":"StartContainer","code":"INTERNAL","startedAt":7,"durationNanos":9,"steps":[{"stage":"runtime start","startedAt":8,"durationNanos":1}]}])");
  ASSERT_TRUE(parsed);
  ASSERT_EQ(parsed->size(), 1u);
  EXPECT_EQ(parsed->front().operation, "StartContainer");
  EXPECT_EQ(parsed->front().code, "INTERNAL");
  ASSERT_EQ(parsed->front().steps.size(), 1u);
  EXPECT_EQ(parsed->front().steps[0].stage, "runtime start");
  EXPECT_EQ(parsed->front().steps[0].started_at, 8);
  for (const char* bad : {"", "{}", "[1]", R"([{"steps":{}}])", R"([{"steps":[[]]}])"})
    EXPECT_FALSE(ParseTimeline(bad)) << bad;
}

}  // namespace
}  // namespace berth::cli
