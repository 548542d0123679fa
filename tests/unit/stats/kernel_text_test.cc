#include "server/stats/kernel_text.h"

#include <fcntl.h>

#include <map>

#include "recorded_tree.h"

namespace berth::stats {
namespace {

TEST(KernelText, NumbersAndTheirAbsence) {
  EXPECT_EQ(ParseNumber("42\n"), 42u);
  EXPECT_EQ(ParseNumber("0"), 0u);
  for (const char* text : {"max\n", "-1\n", "", "9223372036854771712\n", "12x", "99999999999999999999"}) {
    EXPECT_EQ(ParseNumber(text), std::nullopt) << text;
  }
}

TEST(KernelText, KeyedLinesWithoutNumberAreLeftOut) {
  std::map<std::string, uint64_t> seen;
  EachKeyedNumber("a 1\nbroken\nb x\nc 3",
                  [&](std::string_view key, uint64_t value) { seen[std::string(key)] = value; });
  EXPECT_EQ(seen, (std::map<std::string, uint64_t>{{"a", 1}, {"c", 3}}));
}

TEST(KernelText, PressureWithoutFullLine) {
  const auto pressure = ParsePressure("some avg10=99.24 avg60=98.75 avg300=98.52 total=2847531588\n");
  ASSERT_TRUE(pressure && pressure->some);
  EXPECT_EQ(*pressure->some, (PressureLine{99.24, 98.75, 98.52, 2847531588000}));
  EXPECT_FALSE(pressure->full);
}

TEST(KernelText, DamagedPressureIsAbsent) {
  for (const char* text : {"", "some\n", "some avg10=x total=1\n", "some avg10=1.0\n", "other total=1\n"}) {
    EXPECT_FALSE(ParsePressure(text)) << text;
  }
}

TEST(KernelText, DamagedIoLinesAreLeftOut) {
  EXPECT_TRUE(ParseIoStat("x:0 rbytes=1\n8 rbytes=1\n8:0\n").empty());
  EXPECT_TRUE(ParseBlkio("Total 0\n", "Total 0\n").empty());
  EXPECT_TRUE(ParseBlkio("8:0 Read\n8:0 Read x\n", "").empty());
}

}  // namespace
}  // namespace berth::stats
