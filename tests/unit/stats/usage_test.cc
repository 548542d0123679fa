#include "server/stats/usage.h"

#include <unistd.h>

#include <chrono>
#include <thread>

#include "base/time.h"
#include "recorded_tree.h"

namespace berth::stats {
namespace {

TEST(WalkTree, CountsBlocksAndInodesOnce) {
  TempFolder temp;
  temp.File("a/one", std::string(10'000, 'x'));
  ASSERT_EQ(link((temp.path() / "a/one").c_str(), (temp.path() / "two").c_str()), 0);
  ASSERT_EQ(symlink("/", (temp.path() / "link").c_str()), 0);
  const auto usage = WalkTree(temp.path(), 100);
  ASSERT_TRUE(usage.has_value() && usage->has_value());
  EXPECT_EQ((*usage)->inodes, 4u);  // the folder, a, the file, the link
  EXPECT_GE((*usage)->bytes, 10'000u);
  EXPECT_LT((*usage)->bytes, 64'000u);
  EXPECT_GT((*usage)->time, 0);
}

TEST(WalkTree, StopsAtItsLimit) {
  TempFolder temp;
  for (int i = 0; i < 20; ++i) temp.File("f" + std::to_string(i), "");
  const auto too_much = WalkTree(temp.path(), 20);
  ASSERT_TRUE(too_much.has_value());
  EXPECT_FALSE(too_much->has_value());
  const auto fits = WalkTree(temp.path(), 21);
  ASSERT_TRUE(fits.has_value() && fits->has_value());
  EXPECT_EQ((*fits)->inodes, 21u);
}

TEST(WalkTree, MissingFolderIsAnError) {
  EXPECT_FALSE(WalkTree("/nonexistent/folder", 10).has_value());
}

bool Eventually(const std::function<bool()>& done) {
  for (const auto end = base::Monotonic::now() + std::chrono::seconds(20); base::Monotonic::now() < end;
       std::this_thread::yield()) {
    if (done()) return true;
  }
  return false;
}

TEST(UsageCache, SmallTreeIsKnownAtOnceAndWalkedAgainBehindTheCaller) {
  TempFolder temp;
  temp.File("one", "x");
  UsageCache cache(std::chrono::nanoseconds(0));
  const auto first = cache.Get("id", temp.path());
  ASSERT_TRUE(first);
  EXPECT_EQ(first->inodes, 2u);
  temp.File("two", "x");
  EXPECT_TRUE(Eventually([&] { return cache.Get("id", temp.path())->inodes == 3; }));
}

TEST(UsageCache, FiguresAreKeptForThePeriod) {
  TempFolder temp;
  UsageCache cache(std::chrono::hours(1));
  ASSERT_TRUE(cache.Get("id", temp.path()));
  temp.File("one", "x");
  EXPECT_EQ(cache.Get("id", temp.path())->inodes, 1u);
  cache.Keep({});
  EXPECT_EQ(cache.Get("id", temp.path())->inodes, 2u);
}

TEST(UsageCache, LargeTreeIsNeverWalkedInTheCallersTime) {
  TempFolder temp;
  for (int i = 0; i < 600; ++i) temp.File("f" + std::to_string(i), "");
  UsageCache cache(std::chrono::hours(1));
  EXPECT_FALSE(cache.Get("id", temp.path()));
  EXPECT_TRUE(Eventually([&] { return cache.Get("id", temp.path()).has_value(); }));
  EXPECT_EQ(cache.Get("id", temp.path())->inodes, 601u);
}

}  // namespace
}  // namespace berth::stats
