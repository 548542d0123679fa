// Tokens, statuses, sizes and messages: what needs no connection.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "server/streaming/outcome.h"
#include "server/streaming/resize.h"
#include "server/streaming/tokens.h"
#include "server/streaming/websocket_channels.h"

namespace berth::streaming {
namespace {

using testing::HasSubstr;

TEST(Tokens, WorkOnce) {
  Tokens tokens;
  const auto token = tokens.Insert(ExecOrder{.container = "c"});
  ASSERT_TRUE(token);
  EXPECT_EQ(token->size(), 8u);
  EXPECT_EQ(token->find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
            std::string::npos);
  const auto order = tokens.Take(*token);
  ASSERT_TRUE(order);
  EXPECT_EQ(std::get<ExecOrder>(*order).container, "c");
  EXPECT_FALSE(tokens.Take(*token));
  EXPECT_FALSE(tokens.Take("????????"));
}

TEST(Tokens, GrowTooOld) {
  base::TimePoint now = base::Monotonic::now();
  Tokens tokens({.lifetime = std::chrono::seconds(60), .limit = 10, .now = [&] { return now; }});
  const auto early = tokens.Insert(ExecOrder{});
  now += std::chrono::seconds(59);
  const auto late = tokens.Insert(AttachOrder{});
  now += std::chrono::seconds(1);
  EXPECT_FALSE(tokens.Take(*early));
  EXPECT_TRUE(tokens.Take(*late));
}

TEST(Tokens, AThousandMayWait) {
  base::TimePoint now = base::Monotonic::now();
  Tokens tokens({.now = [&] { return now; }});
  std::set<std::string> all;
  for (int i = 0; i < 1000; ++i) {
    const auto token = tokens.Insert(ForwardOrder{});
    ASSERT_TRUE(token);
    all.insert(*token);
  }
  EXPECT_EQ(all.size(), 1000u);
  const auto refused = tokens.Insert(ForwardOrder{});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kResourceExhausted);
  EXPECT_EQ(refused.error().message, "maximum number of in-flight requests exceeded");
  EXPECT_TRUE(tokens.Take(*all.begin()));
  EXPECT_TRUE(tokens.Insert(ForwardOrder{}));
  EXPECT_FALSE(tokens.Insert(ForwardOrder{}));
  now += std::chrono::seconds(61);
  EXPECT_TRUE(tokens.Insert(ForwardOrder{}));
}

TEST(Outcome, OfVersionFourIsAStatus) {
  EXPECT_EQ(StatusText(Outcome::Exit(0), 4), R"({"metadata":{},"status":"Success"})");
  EXPECT_EQ(
      StatusText(Outcome::Exit(7), 5),
      R"({"details":{"causes":[{"message":"7","reason":"ExitCode"}]},"message":"command terminated with non-zero exit code: exit code 7","metadata":{},"reason":"NonZeroExitCode","status":"Failure"})");
  EXPECT_EQ(
      StatusText(Outcome::Failure("error executing command in container: \"no\""), 4),
      R"({"code":500,"message":"Internal error occurred: error executing command in container: \"no\"","metadata":{},"reason":"InternalError","status":"Failure"})");
}

TEST(Outcome, BeforeVersionFourIsATextOnFailure) {
  EXPECT_EQ(StatusText(Outcome::Exit(0), 1), "");
  EXPECT_EQ(StatusText(Outcome::Exit(7), 2), "command terminated with non-zero exit code: exit code 7");
  EXPECT_EQ(StatusText(Outcome::Failure("x"), 3), "Internal error occurred: x");
}

TEST(Resize, TheLastSizeCounts) {
  ResizeReader reader;
  EXPECT_EQ(reader.Feed("{\"Width\":80,\"Height\":24}\n{\"width\":100,\"HEIGHT\":50}\n"), (TerminalSize{100, 50}));
}

TEST(Resize, ObjectsMayComeInPieces) {
  ResizeReader reader;
  const std::string text = "{\"Width\":80,\"Height\":24}\n";
  for (size_t i = 0; i + 2 < text.size(); ++i) EXPECT_FALSE(reader.Feed(text.substr(i, 1)));
  EXPECT_EQ(reader.Feed("}"), (TerminalSize{80, 24}));
}

TEST(Resize, ImpossibleSizesAreSkipped) {
  ResizeReader reader;
  EXPECT_FALSE(reader.Feed("{\"Width\":0,\"Height\":24}{\"Width\":70000,\"Height\":24}{\"Width\":-1,\"Height\":24}{}"));
  EXPECT_FALSE(reader.broken());
  EXPECT_TRUE(reader.Feed("{\"Width\":1,\"Height\":1}"));
}

TEST(Resize, BrokenTextEndsTheReading) {
  for (const char* text : {"[1]", "{\"Width\":}", "x"}) {
    ResizeReader reader;
    EXPECT_FALSE(reader.Feed(text)) << text;
    EXPECT_TRUE(reader.broken()) << text;
    EXPECT_FALSE(reader.Feed("{\"Width\":80,\"Height\":24}"));
  }
  ResizeReader reader;
  reader.Feed("{" + std::string(5000, ' '));
  EXPECT_TRUE(reader.broken());
}

TEST(Messages, GoBothWaysInBothForms) {
  for (const bool base64 : {false, true}) {
    const ChannelProtocol protocol{.version = 4, .base64 = base64};
    const std::string data("a\0\xff", 3);
    const auto message = DecodeMessage(protocol, EncodeMessage(protocol, 3, data), base64);
    ASSERT_TRUE(message);
    EXPECT_EQ(message->channel, 3);
    EXPECT_EQ(message->data, data);
    EXPECT_FALSE(message->close);
  }
  EXPECT_EQ(EncodeMessage({.version = 1, .base64 = true}, 1, "hi"), "1aGk=");
}

TEST(Messages, OfTheWrongKindAreErrors) {
  EXPECT_FALSE(DecodeMessage({.version = 5}, std::string("\0x", 2), true));
  EXPECT_FALSE(DecodeMessage({.version = 4, .base64 = true}, "0aGk=", false));
  EXPECT_FALSE(DecodeMessage({.version = 4, .base64 = true}, "xaGk=", true));
  EXPECT_FALSE(DecodeMessage({.version = 4, .base64 = true}, "0not base64", true));
}

TEST(Messages, OnlyVersionFiveKnowsTheCloseMark) {
  const std::string mark("\xff\0", 2);
  const auto five = DecodeMessage({.version = 5}, mark, false);
  ASSERT_TRUE(five);
  EXPECT_TRUE(five->close);
  EXPECT_EQ(five->channel, 0);
  const auto four = DecodeMessage({.version = 4}, mark, false);
  ASSERT_TRUE(four);
  EXPECT_FALSE(four->close);
  EXPECT_FALSE(DecodeMessage({.version = 5}, "\xff", false));
  EXPECT_FALSE(DecodeMessage({.version = 5}, std::string("\xff\0\0", 3), false));
}

TEST(Messages, EmptyOnesMeanNothing) {
  const auto message = DecodeMessage({.version = 5}, "", false);
  ASSERT_TRUE(message);
  EXPECT_TRUE(message->data.empty());
}

}  // namespace
}  // namespace berth::streaming
