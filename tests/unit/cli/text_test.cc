#include "cli/text.h"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

TEST(Table, ColumnsAreAsWideAsTheirLongestCell) {
  Table table({"NAME", "STATE"});
  table.Add({"a-long-name", "up"});
  table.Add({"b", ""});
  EXPECT_EQ(table.Text(),
            "NAME         STATE\n"
            "a-long-name  up\n"
            "b\n");
}

TEST(Table, ControlCharactersCannotReachTheTerminal) {
  Table table({"NAME"});
  table.Add({"x\x1b[2J\n"});
  EXPECT_EQ(table.Text(), "NAME\nx?[2J?\n");
}

TEST(Table, CharactersOfSeveralBytesTakeOneColumn) {
  Table table({"A", "B"});
  table.Add({"ä", "x"});
  table.Add({"bb", "y"});
  EXPECT_EQ(table.Text(), "A   B\nä   x\nbb  y\n");
}

TEST(Bytes, HaveThreeFiguresAtMost) {
  EXPECT_EQ(Bytes(0), "0 B");
  EXPECT_EQ(Bytes(999), "999 B");
  EXPECT_EQ(Bytes(1000), "1.0 kB");
  EXPECT_EQ(Bytes(9'940), "9.9 kB");
  EXPECT_EQ(Bytes(9'960), "10 kB");
  EXPECT_EQ(Bytes(999'499), "999 kB");
  EXPECT_EQ(Bytes(999'500), "1.0 MB");
  EXPECT_EQ(Bytes(UINT64_MAX), "18 EB");
}

TEST(Ago, TakesTheLargestUnit) {
  constexpr int64_t kSecond = 1'000'000'000;
  constexpr int64_t kNow = 1'000'000 * kSecond;
  EXPECT_EQ(Ago(0, kNow), "-");
  EXPECT_EQ(Ago(kNow, kNow), "now");
  EXPECT_EQ(Ago(kNow + kSecond, kNow), "now");
  EXPECT_EQ(Ago(kNow - kSecond, kNow), "1 second ago");
  EXPECT_EQ(Ago(kNow - 119 * kSecond, kNow), "1 minute ago");
  EXPECT_EQ(Ago(kNow - 7200 * kSecond, kNow), "2 hours ago");
  EXPECT_EQ(Ago(kNow - 3 * 86400 * kSecond, kNow), "3 days ago");
}

TEST(ShortId, LeavesOutTheAlgorithm) {
  EXPECT_EQ(ShortId("sha256:0123456789abcdef"), "0123456789abc");
  EXPECT_EQ(ShortId("0123"), "0123");
}

}  // namespace
}  // namespace berth::cli
