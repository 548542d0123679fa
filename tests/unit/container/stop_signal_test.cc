#include "container/stop_signal.h"

#include <gtest/gtest.h>

#include "cri-proto/api.pb.h"
#include "cri-proto/cri.h"

namespace berth::container {
namespace {

struct Parsed {
  const char* text;
  int number;
};

TEST(StopSignal, EveryFormOfANameIsRead) {
  for (const Parsed& one : {Parsed{"SIGTERM", 15},
                            {"TERM", 15},
                            {"term", 15},
                            {"sigTerm", 15},
                            {"15", 15},
                            {"1", 1},
                            {"64", 64},
                            {"HUP", 1},
                            {"KILL", 9},
                            {"IOT", 6},
                            {"CLD", 17},
                            {"POLL", 29},
                            {"RTMIN", 34},
                            {"SIGRTMIN", 34},
                            {"RTMIN+0", 34},
                            {"RTMIN+3", 37},
                            {"sigrtmin+30", 64},
                            {"RTMAX", 64},
                            {"SIGRTMAX-1", 63},
                            {"RTMAX-30", 34}}) {
    const auto parsed = ParseSignal(one.text);
    ASSERT_TRUE(parsed) << one.text;
    EXPECT_EQ(*parsed, one.number) << one.text;
  }
}

TEST(StopSignal, WhatIsNoSignalIsAnError) {
  for (const char* text : {"",         " ",       "SIG",    "SIGNOPE",    "0",
                           "65",       "-1",      "+15",    "15 ",        "15x",
                           "RTMIN-1",  "RTMAX+1", "RTMIN+", "RTMIN+31",   "RTMAX-31",
                           "RTMIN+-1", "RTMIN3",  "TERM ",  "SIGSIGTERM", "99999999999999999999"}) {
    EXPECT_FALSE(ParseSignal(text)) << "\"" << text << "\"";
  }
}

struct Pair {
  int cri;
  int number;
};
// From the API's comment-free enum to signal(7) on x86 and arm, written out once more.
constexpr Pair kTable[] = {{1, 6},   {2, 14},  {3, 7},   {4, 17},  {5, 17},  {6, 18},  {7, 8},   {8, 1},
                           {9, 4},   {10, 2},  {11, 29}, {12, 6},  {13, 9},  {14, 13}, {15, 29}, {16, 27},
                           {17, 30}, {18, 3},  {19, 11}, {20, 16}, {21, 19}, {22, 31}, {23, 15}, {24, 5},
                           {25, 20}, {26, 21}, {27, 22}, {28, 23}, {29, 10}, {30, 12}, {31, 26}, {32, 28},
                           {33, 24}, {34, 25}, {35, 34}, {36, 35}, {50, 49}, {51, 50}, {64, 63}, {65, 64}};

TEST(StopSignal, NumbersOfTheApiAreOtherNumbersThanTheKernels) {
  for (const Pair& pair : kTable) EXPECT_EQ(SignalFromCri(pair.cri), pair.number) << pair.cri;
  for (const int unknown : {-1, 0, 66, 1000}) EXPECT_EQ(SignalFromCri(unknown), 0) << unknown;
}

TEST(StopSignal, EveryNameOfTheApiMeansWhatItSays) {
  const auto* names = cri::Signal_descriptor();
  for (int i = 0; i < names->value_count(); ++i) {
    const auto* value = names->value(i);
    if (value->number() == 0) continue;
    std::string name(value->name());  // "SIGNAL_SIGRTMINPLUS3"
    ASSERT_TRUE(name.starts_with("SIGNAL_")) << name;
    name.erase(0, std::string_view("SIGNAL_").size());
    for (const auto& [from, to] : {std::pair("PLUS", "+"), std::pair("MINUS", "-")}) {
      if (const size_t at = name.find(from); at != std::string::npos)
        name.replace(at, std::string_view(from).size(), to);
    }
    const auto parsed = ParseSignal(name);
    ASSERT_TRUE(parsed) << name;
    EXPECT_EQ(SignalFromCri(value->number()), *parsed) << name;
  }
}

TEST(StopSignal, NumbersGoThereAndBack) {
  for (int number = 1; number <= 64; ++number) {
    if (number == 32 || number == 33) continue;  // libc's own: no name in the API
    EXPECT_EQ(SignalFromCri(SignalToCri(number)), number) << number;
  }
  for (const int nameless : {0, 32, 33, 65, -1}) EXPECT_EQ(SignalToCri(nameless), 0) << nameless;
}

TEST(StopSignal, RequestThenImageThenTerm) {
  EXPECT_EQ(*StopSignal(8, "SIGINT"), 1);
  EXPECT_EQ(*StopSignal(8, "SIGNOPE"), 1);
  EXPECT_EQ(*StopSignal(0, "SIGINT"), 2);
  EXPECT_EQ(*StopSignal(0, ""), 15);
  EXPECT_FALSE(StopSignal(0, "SIGNOPE"));
  EXPECT_FALSE(StopSignal(66, ""));
}

}  // namespace
}  // namespace berth::container
