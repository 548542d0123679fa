#include "base/strings.h"

#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/guarded.h"
#include "base/result.h"
#include "base/time.h"

namespace berth::base {
namespace {

using Pieces = std::vector<std::string_view>;

TEST(Split, KeepsEmptyPieces) {
  EXPECT_EQ(Split("", ','), Pieces{""});
  EXPECT_EQ(Split("a", ','), Pieces{"a"});
  EXPECT_EQ(Split("a,,b,", ','), (Pieces{"a", "", "b", ""}));
}

TEST(Trim, TakesBlanksFromBothEnds) {
  EXPECT_EQ(Trim(" \t a b\r\n"), "a b");
  EXPECT_EQ(Trim(" \n "), "");
  EXPECT_EQ(Trim(""), "");
}

TEST(Join, PutsTheSeparatorBetweenAll) {
  EXPECT_EQ(Join({}, ","), "");
  EXPECT_EQ(Join(std::vector<std::string>{"a"}, ","), "a");
  EXPECT_EQ(Join(std::vector<std::string>{"", "", "b"}, ", "), ", , b");
}

TEST(Lower, ChangesAsciiLettersOnly) {
  EXPECT_EQ(Lower("AbZ-\xC3\x84"), "abz-\xC3\x84");
}

TEST(ParseInt, WantsTheWholeTextToBeANumberThatFits) {
  EXPECT_EQ(ParseInt("0"), 0);
  EXPECT_EQ(ParseInt("-12"), -12);
  EXPECT_EQ(ParseInt("9223372036854775807"), INT64_MAX);
  EXPECT_EQ(ParseInt("-9223372036854775808"), INT64_MIN);
  for (const char* bad :
       {"", "-", "+1", " 1", "1 ", "1x", "0x10", "1.0", "9223372036854775808", "-9223372036854775809"}) {
    EXPECT_EQ(ParseInt(bad), std::nullopt) << bad;
  }
}

TEST(Hex, IsLowerCase) {
  const std::vector<uint8_t> bytes = {0x00, 0x0f, 0xa5, 0xff};
  EXPECT_EQ(HexEncode(bytes), "000fa5ff");
  EXPECT_TRUE(IsHex("000fa5ff"));
  EXPECT_FALSE(IsHex("000FA5ff"));
  EXPECT_FALSE(IsHex(""));
}

TEST(Base64, KnowsTheVectorsOfRfc4648) {
  const std::vector<std::pair<std::string, std::string>> vectors = {{"", ""},
                                                                    {"f", "Zg=="},
                                                                    {"fo", "Zm8="},
                                                                    {"foo", "Zm9v"},
                                                                    {"foob", "Zm9vYg=="},
                                                                    {"fooba", "Zm9vYmE="},
                                                                    {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : vectors) {
    EXPECT_EQ(Base64Encode(plain), encoded);
    EXPECT_EQ(Base64Decode(encoded), plain);
  }
}

TEST(Base64, EveryByteComesBack) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  for (size_t skip = 0; skip < 3; ++skip) EXPECT_EQ(Base64Decode(Base64Encode(bytes.substr(skip))), bytes.substr(skip));
}

TEST(Base64, RefusesWhatIsNotIt) {
  for (const char* bad : {"Z", "Zg", "Zg=", "Zm9v\n", "====", "Z===", "Zg==Zg==", "Z=g=", "Zm9-", "Zm9_", " Zg="}) {
    EXPECT_EQ(Base64Decode(bad), std::nullopt) << bad;
  }
}

TEST(RandomId, Is64HexDigitsAndNeverTheSame) {
  const std::string first = RandomId();
  EXPECT_EQ(first.size(), 64u);
  EXPECT_TRUE(IsHex(first));
  EXPECT_NE(first, RandomId());
}

TEST(Rfc3339, HasNineDigits) {
  EXPECT_EQ(Rfc3339(0), "1970-01-01T00:00:00.000000000Z");
  EXPECT_EQ(Rfc3339(1475713029'669794202), "2016-10-06T00:17:09.669794202Z");
  EXPECT_EQ(Rfc3339(951782400'000000001), "2000-02-29T00:00:00.000000001Z");
  EXPECT_EQ(Rfc3339(-1), "1969-12-31T23:59:59.999999999Z");
}

TEST(Error, TextTellsWhatCouldNotBeUndone) {
  Error error{.message = "mount x: busy"};
  EXPECT_EQ(error.Text(), "mount x: busy");
  error.clean_up = "umount y: busy";
  EXPECT_EQ(error.Text(), "mount x: busy (clean-up: umount y: busy)");
}

TEST(FailErrno, RunningOutIsResourceExhausted) {
  for (const int err : {ENOSPC, EDQUOT, EMFILE, ENFILE})
    EXPECT_EQ(Status(FailErrno(err, "write")).error().code, Code::kResourceExhausted);
  const Status other = FailErrno(EACCES, "open ", "/x");
  EXPECT_EQ(other.error().code, Code::kInternal);
  EXPECT_EQ(other.error().message, "open /x: Permission denied");
  EXPECT_EQ(other.error().err, EACCES);
  EXPECT_EQ(Status(FailErrno(99999, "x")).error().message, "x: unknown error");
}

TEST(Guarded, LosesNoChange) {
  Guarded<int> count(0);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 1000; ++j) {
        count.With([](int& value) { ++value; });
        ++*count.Lock();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(*count.Lock(), 8000);
}

}  // namespace
}  // namespace berth::base
