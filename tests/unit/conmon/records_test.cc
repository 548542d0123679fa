#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "conmon/client.h"
#include "conmon/exit_record.h"
#include "conmon/protocol.h"

namespace berth::conmon {
namespace {

std::string Format(const ExitRecord& record) {
  char text[kExitRecordLimit];
  return {text, FormatExitRecord(record, text)};
}
constexpr ExitRecord kRecord{
    .code = 137, .signal = 9, .oom_kills = 2, .dropped = 3, .finished_at = 1'700'000'000'123'456'789};

TEST(ExitRecordTest, HasTheDocumentedForm) {
  EXPECT_EQ(Format(kRecord), "berth-exit 1\ncode=137\nsignal=9\noom=2\ndropped=3\nat=1700000000123456789\nend\n");
}

TEST(ExitRecordTest, ReadsWhatItWrote) {
  for (const ExitRecord& record : {kRecord, ExitRecord{}, ExitRecord{255, 127, INT64_MAX, INT64_MAX, INT64_MAX}}) {
    const auto parsed = ParseExitRecord(Format(record) + std::string(4000, '\0'));
    ASSERT_TRUE(parsed);
    EXPECT_EQ(*parsed, record);
  }
}

TEST(ExitRecordTest, EveryTornRecordIsNone) {
  const std::string whole = Format(kRecord);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(ParseExitRecord(whole.substr(0, size) + std::string(100, '\0'))) << size;
  }
}

TEST(ExitRecordTest, ForeignContentIsNone) {
  for (const char* text : {"", "berth-exit 2\ncode=1\nsignal=0\noom=0\ndropped=0\nat=1\nend\n",
                           "berth-exit 1\ncode=256\nsignal=0\noom=0\ndropped=0\nat=1\nend\n",
                           "berth-exit 1\ncode=-1\nsignal=0\noom=0\ndropped=0\nat=1\nend\n",
                           "berth-exit 1\ncode=\nsignal=0\noom=0\ndropped=0\nat=1\nend\n",
                           "berth-exit 1\nsignal=0\ncode=1\noom=0\ndropped=0\nat=1\nend\n",
                           "berth-exit 1\ncode=1\nsignal=0\noom=0\ndropped=0\nat=99999999999999999999\nend\n"}) {
    EXPECT_FALSE(ParseExitRecord(text)) << text;
  }
}

TEST(ExitRecordTest, MissingFileIsNoRecord) {
  const auto record = ReadExitRecord("/nonexistent/exit");
  ASSERT_TRUE(record);
  EXPECT_FALSE(*record);
}

std::span<const std::byte> Bytes(const Request& request) {
  return std::as_bytes(std::span(&request, 1));
}

TEST(ProtocolTest, AcceptsEveryRequestOfABerthd) {
  for (const MessageType type :
       {MessageType::kHello, MessageType::kReopenLog, MessageType::kResize, MessageType::kCloseStdin,
        MessageType::kSubscribe, MessageType::kStatus, MessageType::kAcknowledge}) {
    const Request request{.type = type, .id = 7, .a = 80, .b = 24};
    const auto decoded = DecodeRequest(Bytes(request));
    ASSERT_TRUE(decoded) << static_cast<int>(type);
    EXPECT_EQ(decoded->id, 7u);
  }
}

TEST(ProtocolTest, RefusesWhatItMustNotActOn) {
  const Request bad[] = {
      {.version = 2},
      {.type = MessageType::kExit},
      {.type = MessageType::kMalformed},
      {.type = static_cast<MessageType>(0)},
      {.type = static_cast<MessageType>(11)},
      {.type = MessageType::kResize, .a = 65536, .b = 1},
      {.type = MessageType::kResize, .a = 1, .b = 65536},
      {.type = MessageType::kAttach, .a = 0},
      {.type = MessageType::kAttach, .a = 8},
  };
  for (const Request& request : bad) EXPECT_FALSE(DecodeRequest(Bytes(request))) << static_cast<int>(request.type);
}

TEST(ProtocolTest, RefusesEveryOtherLength) {
  std::byte bytes[64] = {};
  const Request request;
  std::memcpy(bytes, &request, sizeof request);
  for (size_t size = 0; size <= sizeof bytes; ++size) {
    EXPECT_EQ(DecodeRequest({bytes, size}).has_value(), size == sizeof request) << size;
  }
}

TEST(RuntimeErrorTest, TakesTheLastErrorOfJsonLines) {
  EXPECT_EQ(RuntimeErrorText("{\"level\":\"error\",\"msg\":\"first\",\"time\":\"t\"}\n"
                             "{\"level\":\"error\",\"msg\":\"second \\\"q\\\" \\u00e9\\n\",\"time\":\"t\"}\n"
                             "{\"level\":\"warning\",\"msg\":\"beside it\",\"time\":\"t\"}\n"),
            "second \"q\" \u00e9\n");
}

TEST(RuntimeErrorTest, ReadsCrunsOrderOfKeys) {
  EXPECT_EQ(RuntimeErrorText("{ \"msg\": \"cannot find `x`\", \"level\": \"error\", \"time\": \"t\" }\n"),
            "cannot find `x`");
}

TEST(RuntimeErrorTest, GivesPlainTextAsItIs) {
  EXPECT_EQ(RuntimeErrorText("  went wrong\n"), "went wrong");
}

TEST(RuntimeErrorTest, SaysThatThereIsNone) {
  EXPECT_EQ(RuntimeErrorText(""), "no error text");
}

TEST(RuntimeErrorTest, SurvivesCutJson) {
  EXPECT_EQ(RuntimeErrorText("{\"msg\":\"cut \\u00"), "{\"msg\":\"cut \\u00");
}

}  // namespace
}  // namespace berth::conmon
