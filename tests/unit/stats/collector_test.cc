#include "server/stats/collector.h"

#include "recorded_tree.h"
#include "server/stats/cpu_rate.h"

namespace berth::stats {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TEST(CpuRate, IsTheUseBetweenTwoReadings) {
  CpuRate rate;
  EXPECT_EQ(rate.Observe(100 * kSecond, 5'000), std::nullopt);
  EXPECT_EQ(rate.Observe(110 * kSecond, 5'000 + 5 * kSecond), 500'000'000u);
  EXPECT_EQ(rate.Observe(112 * kSecond, 5'000 + 9 * kSecond), 2'000'000'000u);
}

TEST(CpuRate, ReadingsTooCloseGiveTheFormerRate) {
  CpuRate rate;
  EXPECT_EQ(rate.Observe(100 * kSecond, 0), std::nullopt);
  EXPECT_EQ(rate.Observe(100 * kSecond + 1, 1), std::nullopt);
  EXPECT_EQ(rate.Observe(102 * kSecond, 1 * kSecond), 500'000'000u);
  EXPECT_EQ(rate.Observe(102 * kSecond + 5, 2 * kSecond), 500'000'000u);
  EXPECT_EQ(rate.Observe(104 * kSecond, 1 * kSecond), 0u);
}

TEST(CpuRate, GoingBackStartsAnew) {
  CpuRate rate;
  (void)rate.Observe(100 * kSecond, 50);
  EXPECT_EQ(rate.Observe(110 * kSecond, 10), std::nullopt);  // the counter
  EXPECT_EQ(rate.Observe(120 * kSecond, 10 + 10 * kSecond), 1'000'000'000u);
  EXPECT_EQ(rate.Observe(110 * kSecond, 10 + 20 * kSecond), std::nullopt);  // the clock
  EXPECT_EQ(rate.Observe(120 * kSecond, 10 + 20 * kSecond), 0u);
}

TEST(Collector, RemembersByIdAndForgets) {
  TempFolder temp;
  const auto tree = TreeAt(temp, base::Path(BERTH_RECORDED) / "v1", false);
  Collector collector({.cgroups = &tree});
  const auto reading = collector.Read("a", "/group", Depth::kUsage);
  ASSERT_TRUE(reading.has_value()) << reading.error().Text();
  EXPECT_EQ(reading->stats.cpu->usage_ns, 211803775u);
  EXPECT_FALSE(reading->nano_cores);
  EXPECT_TRUE(collector.Read("b", "/group", Depth::kUsage).has_value());
  EXPECT_EQ(collector.size(), 2u);
  collector.Keep({"b"});
  EXPECT_EQ(collector.size(), 1u);
  const auto missing = collector.Read("c", "/missing", Depth::kUsage);
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code, base::Code::kNotFound);
  EXPECT_EQ(collector.size(), 1u);
}

}  // namespace
}  // namespace berth::stats
