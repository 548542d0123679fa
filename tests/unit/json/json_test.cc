#include "json/json.h"

#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace berth::json {
namespace {

using nlohmann::json;

std::string Nested(size_t levels) {
  return std::string(levels, '[') + std::string(levels, ']');
}

std::string ErrorOf(const auto& result) {
  return result ? "no error" : result.error().message;
}

TEST(Parse, RefusesWhatIsNotJson) {
  for (const char* bad : {"", " ", "{", "{\"a\":}", "{} {}", "nul", "'a'", "{\"a\":1,}", "\"\xff\"", "[1e999]"}) {
    const auto value = Parse(bad, "thing");
    ASSERT_FALSE(value) << bad;
    EXPECT_EQ(value.error().code, base::Code::kInvalidArgument);
    EXPECT_EQ(value.error().message, "thing: not valid JSON") << bad;
  }
}

TEST(Parse, BoundsTheDepth) {
  EXPECT_TRUE(Parse(Nested(100), "thing"));
  EXPECT_EQ(ErrorOf(Parse(Nested(102), "thing")), "thing: nested deeper than 100 levels");
  EXPECT_EQ(ErrorOf(Parse(std::string(1 << 20, '['), "thing")), "thing: nested deeper than 100 levels");
}

TEST(Dump, ReplacesWhatIsNotUtf8) {
  EXPECT_EQ(Dump(json{{"a", "x\xffy"}}), "{\"a\":\"x\xEF\xBF\xBDy\"}");
  EXPECT_EQ(DumpPretty(json{{"a", 1}}), "{\n  \"a\": 1\n}");
}

const json& Sample() {
  static const json kSample =
      json::parse(R"({"s":"text","i":-5,"big":18446744073709551615,"f":1.5,"b":true,"l":["a","b"],
    "m":{"k":"v"},"mixed":["a",1],"mm":{"k":1},"none":null})");
  return kSample;
}

TEST(Members, AreReadAsTheirType) {
  EXPECT_EQ(String(Sample(), "s", "doc").value(), "text");
  EXPECT_EQ(Int(Sample(), "i", "doc").value(), -5);
  EXPECT_EQ(Bool(Sample(), "b", "doc").value(), true);
  EXPECT_EQ(Strings(Sample(), "l", "doc").value(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(StringMap(Sample(), "m", "doc").value(), (std::map<std::string, std::string>{{"k", "v"}}));
  EXPECT_EQ(**Object(Sample(), "m", "doc"), Sample()["m"]);
  EXPECT_EQ(**Array(Sample(), "l", "doc"), Sample()["l"]);
}

TEST(Members, AbsentAndNullAreEmpty) {
  for (const char* key : {"absent", "none"}) {
    EXPECT_EQ(String(Sample(), key, "doc").value(), "");
    EXPECT_EQ(Int(Sample(), key, "doc").value(), std::nullopt);
    EXPECT_EQ(Bool(Sample(), key, "doc").value(), false);
    EXPECT_TRUE(Strings(Sample(), key, "doc").value().empty());
    EXPECT_TRUE(StringMap(Sample(), key, "doc").value().empty());
    EXPECT_EQ(Object(Sample(), key, "doc").value(), nullptr);
    EXPECT_EQ(Array(Sample(), key, "doc").value(), nullptr);
  }
}

TEST(Members, OfAnotherTypeAreToldByName) {
  EXPECT_EQ(ErrorOf(String(Sample(), "i", "doc")), "doc: i is not a string");
  EXPECT_EQ(ErrorOf(Int(Sample(), "s", "doc")), "doc: s is not a whole number");
  EXPECT_EQ(ErrorOf(Int(Sample(), "f", "doc")), "doc: f is not a whole number");
  EXPECT_EQ(ErrorOf(Int(Sample(), "big", "doc")), "doc: big is not a whole number");
  EXPECT_EQ(ErrorOf(Bool(Sample(), "i", "doc")), "doc: i is not true or false");
  EXPECT_EQ(ErrorOf(Strings(Sample(), "s", "doc")), "doc: s is not a list");
  EXPECT_EQ(ErrorOf(Strings(Sample(), "mixed", "doc")), "doc: mixed is not a list of strings");
  EXPECT_EQ(ErrorOf(StringMap(Sample(), "mm", "doc")), "doc: mm is not a map of strings");
  EXPECT_EQ(ErrorOf(Object(Sample(), "l", "doc")), "doc: l is not an object");
  EXPECT_EQ(ErrorOf(Array(Sample(), "m", "doc")), "doc: m is not a list");
}

TEST(Members, OfWhatIsNoObjectAreAnError) {
  for (const json& value : {json::array(), json("text"), json(1), json()})
    EXPECT_EQ(ErrorOf(String(value, "s", "doc")), "doc is not an object");
}

TEST(Reader, KeepsTheFirstError) {
  Reader reader(Sample(), "doc");
  EXPECT_EQ(reader.Text("s"), "text");
  EXPECT_TRUE(reader.status().has_value());
  EXPECT_EQ(reader.Text("i"), "");
  EXPECT_EQ(reader.Number("s"), 0);
  EXPECT_EQ(ErrorOf(reader.status()), "doc: i is not a string");
  EXPECT_TRUE(reader.Flag("b")) << "later members are still read";
}

TEST(Reader, ReadsEveryKind) {
  Reader reader(Sample(), "doc");
  EXPECT_EQ(reader.Number("i"), -5);
  EXPECT_EQ(reader.Number("absent"), 0);
  EXPECT_EQ(reader.Texts("l").size(), 2u);
  EXPECT_EQ(reader.TextMap("m").at("k"), "v");
  EXPECT_EQ(reader.Member("m").at("k"), "v");
  EXPECT_TRUE(reader.Member("absent").empty());
  EXPECT_TRUE(reader.status().has_value());
}

}  // namespace
}  // namespace berth::json
