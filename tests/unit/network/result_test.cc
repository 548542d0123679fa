#include "network/result.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace berth::network {
namespace {

using Json = nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kDual = R"({"cniVersion":"1.1.0",
  "interfaces":[{"name":"br0","mac":"aa"},{"name":"veth1"},{"name":"eth0","mac":"bb","sandbox":"/run/netns/x","mtu":1500}],
  "ips":[{"address":"fd00::0005/64","gateway":"fd00::1","interface":2},{"address":"10.1.0.5/16","gateway":"10.1.0.1","interface":2}],
  "routes":[{"dst":"0.0.0.0/0","gw":"10.1.0.1","mtu":1400},{"dst":"::/0"}],"dns":{"nameservers":["1.1.1.1"]}})";

TEST(ResultTest, PrimaryAddressFollowsThePreference) {
  EXPECT_THAT(ParseResult(kDual, "1.1.0", IpPreference::kIpv4)->ips, ElementsAre("10.1.0.5", "fd00::5"));
  EXPECT_THAT(ParseResult(kDual, "1.1.0", IpPreference::kIpv6)->ips, ElementsAre("fd00::5", "10.1.0.5"));
  EXPECT_THAT(ParseResult(kDual, "1.1.0", IpPreference::kCni)->ips, ElementsAre("fd00::5", "10.1.0.5"));
}

TEST(ResultTest, InterfacesAreAllReturned) {
  const auto attachment = ParseResult(kDual, "1.1.0", IpPreference::kIpv4);
  ASSERT_TRUE(attachment);
  ASSERT_EQ(attachment->interfaces.size(), 3u);
  EXPECT_EQ(attachment->interfaces[2].name, "eth0");
  EXPECT_EQ(attachment->interfaces[2].sandbox, "/run/netns/x");
}

TEST(ResultTest, OnlyAddressesOfThePodCount) {
  const char* interfaces =
      R"("interfaces":[{"name":"br0"},{"name":"eth0","sandbox":"/n"},{"name":"net1","sandbox":"/n"}])";
  struct Case {
    const char* reason;
    const char* ips;
    std::vector<std::string> expected;
  };
  const Case cases[] = {
      {"link of the host",
       R"([{"address":"10.0.0.1/8","interface":0},{"address":"10.0.0.2/8","interface":1}])",
       {"10.0.0.2"}},
      {"second link",
       R"([{"address":"10.0.0.2/8","interface":1},{"address":"10.0.0.3/8","interface":2}])",
       {"10.0.0.2"}},
      {"no index", R"([{"address":"10.0.0.4/8"}])", {"10.0.0.4"}},
      {"negative index", R"([{"address":"10.0.0.4/8","interface":-1}])", {"10.0.0.4"}},
      {"no prefix length", R"([{"address":"10.0.0.4"}])", {"10.0.0.4"}},
  };
  for (const Case& one : cases) {
    const auto attachment = ParseResult(base::Cat("{\"cniVersion\":\"1.0.0\",", interfaces, ",\"ips\":", one.ips, "}"),
                                        "1.0.0", IpPreference::kIpv4);
    ASSERT_TRUE(attachment) << one.reason << ": " << attachment.error().Text();
    EXPECT_EQ(attachment->ips, one.expected) << one.reason;
  }
}

TEST(ResultTest, ResultWithoutAddressIsAnError) {
  for (const char* text : {R"({})", R"({"ips":[]})",
                           R"({"interfaces":[{"name":"br0"}],"ips":[{"address":"10.0.0.1/8","interface":0}]})"}) {
    const auto attachment = ParseResult(text, "1.0.0", IpPreference::kIpv4);
    ASSERT_FALSE(attachment) << text;
    EXPECT_THAT(attachment.error().Text(), HasSubstr("failed to find network info for sandbox")) << text;
  }
}

TEST(ResultTest, MalformedResultIsRefused) {
  for (const char* text :
       {"", "null", "[]", "7", R"({"cniVersion":"9.0.0"})", R"({"cniVersion":7})", R"({"ips":{}})", R"({"ips":[7]})",
        R"({"ips":[{"address":"nonsense"}]})", R"({"ips":[{"address":"10.0.0.1/129"}]})",
        R"({"ips":[{"address":"10.0.0.1/x"}]})", R"({"ips":[{"address":7}]})",
        R"({"ips":[{"address":"10.0.0.1/8","interface":5}],"interfaces":[{"name":"a"}]})",
        R"({"ips":[{"address":"10.0.0.1/8","interface":"0"}]})", R"({"interfaces":[{"name":7}]})", R"({"dns":[]})"}) {
    EXPECT_FALSE(ParseResult(text, "1.0.0", IpPreference::kIpv4)) << text;
  }
}

TEST(ResultTest, TooManyEntriesAreRefused) {
  Json result = {{"cniVersion", "1.0.0"}};
  for (size_t i = 0; i <= kResultEntries; ++i) result["ips"].push_back({{"address", "10.0.0.1/8"}});
  EXPECT_FALSE(ParseResult(result.dump(), "1.0.0", IpPreference::kIpv4));
}

TEST(ResultTest, OldestFormIsRead) {
  const auto attachment =
      ParseResult(R"({"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.2/24","gateway":"10.0.0.1"},"ip6":{"ip":"fd00::2/64"}})",
                  "0.2.0", IpPreference::kIpv4);
  ASSERT_TRUE(attachment) << attachment.error().Text();
  EXPECT_THAT(attachment->ips, ElementsAre("10.0.0.2", "fd00::2"));
}

TEST(ResultTest, MissingVersionIsTheLists) {
  const auto converted = ConvertResult(R"({"ips":[{"address":"10.0.0.2/24","version":"4"}]})", "0.3.1", "1.0.0");
  ASSERT_TRUE(converted) << converted.error().Text();
  EXPECT_EQ(Json::parse(*converted), Json::parse(R"({"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}]})"));
}

TEST(ResultTest, SameVersionKeepsUnknownKeys) {
  const auto converted = ConvertResult(R"({"cniVersion":"1.0.0","x-own":{"a":1}})", "1.0.0", "1.0.0");
  ASSERT_TRUE(converted);
  EXPECT_EQ(Json::parse(*converted), Json::parse(R"({"cniVersion":"1.0.0","x-own":{"a":1}})"));
}

TEST(ResultTest, ConvertsToEachVersion) {
  struct Case {
    const char* version;
    const char* expected;
  };
  const Case cases[] = {
      {"1.0.0", R"({"cniVersion":"1.0.0",
        "interfaces":[{"name":"br0","mac":"aa"},{"name":"veth1"},{"name":"eth0","mac":"bb","sandbox":"/run/netns/x"}],
        "ips":[{"address":"fd00::0005/64","gateway":"fd00::1","interface":2},{"address":"10.1.0.5/16","gateway":"10.1.0.1","interface":2}],
        "routes":[{"dst":"0.0.0.0/0","gw":"10.1.0.1"},{"dst":"::/0"}],"dns":{"nameservers":["1.1.1.1"]}})"},
      {"0.4.0", R"({"cniVersion":"0.4.0",
        "interfaces":[{"name":"br0","mac":"aa"},{"name":"veth1"},{"name":"eth0","mac":"bb","sandbox":"/run/netns/x"}],
        "ips":[{"version":"6","address":"fd00::0005/64","gateway":"fd00::1","interface":2},
               {"version":"4","address":"10.1.0.5/16","gateway":"10.1.0.1","interface":2}],
        "routes":[{"dst":"0.0.0.0/0","gw":"10.1.0.1"},{"dst":"::/0"}],"dns":{"nameservers":["1.1.1.1"]}})"},
      {"0.2.0", R"({"cniVersion":"0.2.0",
        "ip4":{"ip":"10.1.0.5/16","gateway":"10.1.0.1","routes":[{"dst":"0.0.0.0/0","gw":"10.1.0.1"}]},
        "ip6":{"ip":"fd00::0005/64","gateway":"fd00::1","routes":[{"dst":"::/0"}]},"dns":{"nameservers":["1.1.1.1"]}})"},
  };
  for (const Case& one : cases) {
    const auto converted = ConvertResult(kDual, "1.1.0", one.version);
    ASSERT_TRUE(converted) << one.version << converted.error().Text();
    EXPECT_EQ(Json::parse(*converted), Json::parse(one.expected)) << one.version;
  }
}

TEST(ResultTest, ConvertsFromTheOldestForm) {
  const auto converted = ConvertResult(
      R"({"cniVersion":"0.1.0","ip4":{"ip":"10.1.0.5/16","gateway":"10.1.0.1","routes":[{"dst":"0.0.0.0/0"}]}})",
      "0.1.0", "0.3.1");
  ASSERT_TRUE(converted) << converted.error().Text();
  EXPECT_EQ(Json::parse(*converted), Json::parse(R"({"cniVersion":"0.3.1","ips":[{"version":"4","address":"10.1.0.5/16",
      "gateway":"10.1.0.1"}],"routes":[{"dst":"0.0.0.0/0"}]})"));
}

TEST(ResultTest, PreferenceNamesAreRead) {
  EXPECT_EQ(ParseIpPreference("ipv6"), IpPreference::kIpv6);
  EXPECT_EQ(ParseIpPreference("cni"), IpPreference::kCni);
  EXPECT_EQ(ParseIpPreference("ipv4"), IpPreference::kIpv4);
  EXPECT_EQ(ParseIpPreference("IPv4"), std::nullopt);
}

}  // namespace
}  // namespace berth::network
