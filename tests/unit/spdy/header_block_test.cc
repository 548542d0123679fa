#include "spdy/header_block.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/sha.h>
#include <zlib.h>

#include "base/strings.h"

namespace berth::spdy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

std::string Text(std::initializer_list<std::pair<std::string, std::string>> headers) {
  return HeaderText(Headers(headers.begin(), headers.end()));
}

std::string ErrorOf(const std::string& text) {
  const auto parsed = ParseHeaders(text);
  return parsed ? "" : parsed.error().message;
}

TEST(HeaderBlock, DictionaryIsTheDrafts) {
  const std::string& dictionary = Dictionary();
  ASSERT_EQ(dictionary.size(), 1423u);
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const uint8_t*>(dictionary.data()), dictionary.size(), digest);
  EXPECT_EQ(base::HexEncode(digest), "51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02");
}

TEST(HeaderBlock, ManyBlocksGoThroughOneStream) {
  HeaderDeflater deflater;
  HeaderInflater inflater;
  for (int i = 0; i < 500; ++i) {
    const Headers headers = {
        {"streamtype", i % 2 == 0 ? "error" : "data"}, {"port", "8080"}, {"requestid", std::to_string(i)}};
    const std::string block = deflater.Deflate(headers);
    EXPECT_TRUE(block.ends_with(std::string("\0\0\xff\xff", 4)));
    const auto text = inflater.Inflate(block);
    ASSERT_TRUE(text) << text.error().message;
    const auto parsed = ParseHeaders(*text);
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_EQ(*parsed, headers);
  }
}

TEST(HeaderBlock, FirstBlockNamesTheDictionary) {
  const std::string block = HeaderDeflater().Deflate({});
  ASSERT_GT(block.size(), 6u);
  EXPECT_NE(block[1] & 0x20, 0);  // FDICT
  EXPECT_EQ(block.substr(2, 4), "\xe3\xc6\xa7\xc2");
}

// As the Go peers write: window of 32 KiB, best compression.
TEST(HeaderBlock, BlocksOfALargeWindowAreRead) {
  z_stream stream{};
  ASSERT_EQ(deflateInit(&stream, Z_BEST_COMPRESSION), Z_OK);
  ASSERT_EQ(deflateSetDictionary(&stream, reinterpret_cast<const Bytef*>(Dictionary().data()), 1423), Z_OK);
  HeaderInflater inflater;
  for (const char* type : {"error", "stdin", "stdout"}) {
    std::string text = Text({{"streamtype", type}, {"filler", std::string(9000, 'x')}});
    std::string block(20000, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(text.data());
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(block.data());
    stream.avail_out = static_cast<uInt>(block.size());
    ASSERT_EQ(deflate(&stream, Z_SYNC_FLUSH), Z_OK);
    block.resize(block.size() - stream.avail_out);
    const auto inflated = inflater.Inflate(block);
    ASSERT_TRUE(inflated) << inflated.error().message;
    EXPECT_EQ(*inflated, text);
  }
  deflateEnd(&stream);
}

TEST(HeaderBlock, BombIsRefused) {
  HeaderInflater inflater(100'000);
  const auto text = inflater.Inflate(HeaderDeflater().Deflate({{"a", std::string(200'000, 'x')}}));
  ASSERT_FALSE(text);
  EXPECT_THAT(text.error().message, HasSubstr("longer than 100000"));
  EXPECT_FALSE(inflater.Inflate(HeaderDeflater().Deflate({})));  // and nothing is read after it
}

TEST(HeaderBlock, OtherDictionaryIsRefused) {
  z_stream stream{};
  ASSERT_EQ(deflateInit(&stream, 9), Z_OK);
  ASSERT_EQ(deflateSetDictionary(&stream, reinterpret_cast<const Bytef*>("other"), 5), Z_OK);
  std::string out(100, '\0');
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = 100;
  deflate(&stream, Z_SYNC_FLUSH);
  out.resize(100 - stream.avail_out);
  deflateEnd(&stream);
  EXPECT_FALSE(HeaderInflater().Inflate(out));
}

TEST(HeaderBlock, NoiseIsRefused) {
  EXPECT_FALSE(HeaderInflater().Inflate("this is no zlib stream"));
}

TEST(HeaderBlock, BadNamesAreErrors) {
  EXPECT_EQ(ErrorOf(Text({{"port", "80"}, {"x", ""}})), "");
  for (const char* name : {"", "Port", "connection", "host", "keep-alive", "proxy-connection", "transfer-encoding"}) {
    EXPECT_THAT(ErrorOf(Text({{name, "x"}})), HasSubstr("header's name")) << name;
  }
  EXPECT_THAT(ErrorOf(Text({{"a", "1"}, {"a", "2"}})), HasSubstr("header's name"));
}

TEST(HeaderBlock, DamagedTextsAreErrors) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("without a count"));
  EXPECT_THAT(ErrorOf(Text({{"a", "b"}}) + "x"), HasSubstr("more bytes"));
  EXPECT_THAT(ErrorOf(std::string("\xff\xff\xff\xff", 4)), HasSubstr("more than 256"));
  const std::string good = Text({{"name", "value"}});
  for (size_t size = 4; size < good.size(); ++size)
    EXPECT_THAT(ErrorOf(good.substr(0, size)), HasSubstr("cut off")) << size;
}

TEST(HeaderBlock, FindsValuesByName) {
  const Headers headers = {{"a", "1"}, {"b", "2"}};
  ASSERT_NE(Find(headers, "b"), nullptr);
  EXPECT_EQ(*Find(headers, "b"), "2");
  EXPECT_EQ(Find(headers, "c"), nullptr);
}

}  // namespace
}  // namespace berth::spdy
