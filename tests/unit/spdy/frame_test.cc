#include "spdy/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace berth::spdy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Writes down what comes, one line each.
struct Recorder final : FrameVisitor {
  base::Status OnControl(const Control& control) override {
    lines.push_back(base::Cat("control ", static_cast<int>(control.type), " flags ", control.flags, " stream ",
                              control.stream, " value ", control.value, " block ", control.block));
    return {};
  }
  base::Status OnData(uint32_t stream, std::string_view piece, bool fin) override {
    if (!lines.empty() && lines.back().starts_with(base::Cat("data ", stream, ":")) &&
        !lines.back().ends_with(" fin")) {
      lines.back() += piece;
    } else {
      lines.push_back(base::Cat("data ", stream, ":", piece));
    }
    if (fin) lines.back() += " fin";
    return {};
  }
  std::vector<std::string> lines;
};

std::string Data(uint32_t stream, std::string_view text, bool fin) {
  char head[kHeadSize];
  DataHead(stream, fin ? kFlagFin : 0, static_cast<uint32_t>(text.size()), head);
  return std::string(head, sizeof head) + std::string(text);
}

std::vector<std::string> Read(const std::string& bytes, size_t piece) {
  Recorder recorder;
  FrameReader reader(recorder);
  for (size_t at = 0; at < bytes.size(); at += piece) {
    const base::Status fed = reader.Feed(std::string_view(bytes).substr(at, piece));
    EXPECT_TRUE(fed) << fed.error().message;
  }
  return recorder.lines;
}

std::string ErrorOf(const std::string& bytes) {
  Recorder recorder;
  FrameReader reader(recorder);
  const base::Status fed = reader.Feed(bytes);
  return fed ? "" : fed.error().message;
}

std::string Bytes(std::initializer_list<int> values) {
  std::string out;
  for (const int value : values) out.push_back(static_cast<char>(value));
  return out;
}

TEST(Frame, EveryKindIsReadInPiecesOfEverySize) {
  const std::string bytes = SynStream(1, kFlagFin, "block") + SynReply(1, 0, "answer") + Data(1, "hello", false) +
                            HeadersFrame(1, 0, "more") + Data(1, " world", true) + RstStream(3, ResetStatus::kCancel) +
                            Ping(7) + GoAway(5, GoAwayStatus::kInternalError) + Data(9, "", true);
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    EXPECT_THAT(
        Read(bytes, piece),
        ElementsAre("control 1 flags 1 stream 1 value 0 block block", "control 2 flags 0 stream 1 value 0 block answer",
                    "data 1:hello", "control 8 flags 0 stream 1 value 0 block more", "data 1: world fin",
                    "control 3 flags 0 stream 3 value 5 block ", "control 6 flags 0 stream 0 value 7 block ",
                    "control 7 flags 0 stream 5 value 2 block ", "data 9: fin"))
        << "pieces of " << piece;
  }
}

TEST(Frame, BytesOfAPingAreThoseOfTheDraft) {
  EXPECT_EQ(Ping(0x01020304), Bytes({0x80, 3, 0, 6, 0, 0, 0, 4, 1, 2, 3, 4}));
}

TEST(Frame, BytesOfDataAreThoseOfTheDraft) {
  EXPECT_EQ(Data(5, "ab", true), Bytes({0, 0, 0, 5, 1, 0, 0, 2, 'a', 'b'}));
}

TEST(Frame, SettingsAndWindowUpdatesAreTaken) {
  const std::string settings = Bytes({0x80, 3, 0, 4, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 7, 0, 1, 0, 0});
  const std::string update = Bytes({0x80, 3, 0, 9, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 1, 0});
  EXPECT_THAT(Read(settings + update, 3),
              ElementsAre("control 4 flags 0 stream 0 value 0 block ", "control 9 flags 0 stream 1 value 256 block "));
}

TEST(Frame, UnknownControlFrameIsSkippedHoweverLong) {
  std::string unknown = Bytes({0x80, 3, 0, 99, 0, 2, 0, 0});
  unknown.append(0x20000, 'x');
  EXPECT_THAT(Read(unknown + Ping(1), 1000), ElementsAre("control 6 flags 0 stream 0 value 1 block "));
}

TEST(Frame, DataOfTheGreatestLengthIsPassedOnInPieces) {
  char head[kHeadSize];
  DataHead(1, kFlagFin, kMaxLength, head);
  const std::vector<std::string> lines = Read(std::string(head, sizeof head) + std::string(kMaxLength, 'x'), 65536);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].size(), kMaxLength + std::string("data 1: fin").size());
}

TEST(Frame, BreachesOfTheProtocolAreErrors) {
  EXPECT_THAT(ErrorOf(Data(0, "x", false)), HasSubstr("stream 0"));
  EXPECT_THAT(ErrorOf(Bytes({0x80, 2, 0, 6, 0, 0, 0, 4})), HasSubstr("version 2"));
  EXPECT_THAT(ErrorOf(Bytes({0x80, 3, 0, 6, 0, 0, 0, 5, 0, 0, 0, 1, 0})), HasSubstr("impossible length 5"));
  EXPECT_THAT(ErrorOf(Bytes({0x80, 3, 0, 6, 0, 0, 0, 0})), HasSubstr("impossible length 0"));
  EXPECT_THAT(ErrorOf(Bytes({0x80, 3, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1})), HasSubstr("impossible length 4"));
  EXPECT_THAT(ErrorOf(Bytes({0x80, 3, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1})), HasSubstr("impossible length 4"));
  EXPECT_THAT(ErrorOf(RstStream(0, ResetStatus::kCancel)), HasSubstr("stream 0"));
  EXPECT_THAT(ErrorOf(SynStream(1, 0, std::string(70000, 'x'))), HasSubstr("longer than 65536"));
}

TEST(Frame, VisitorsErrorEndsTheReading) {
  struct Refuser final : FrameVisitor {
    base::Status OnControl(const Control&) override { return base::Fail(base::Code::kInternal, "enough"); }
    base::Status OnData(uint32_t, std::string_view, bool) override { return {}; }
  } refuser;
  FrameReader reader(refuser);
  const base::Status fed = reader.Feed(Ping(1) + Ping(3));
  ASSERT_FALSE(fed);
  EXPECT_EQ(fed.error().message, "enough");
}

}  // namespace
}  // namespace berth::spdy
