#include "cli/flags.h"

#include <gtest/gtest.h>

#include <stdlib.h>
#include <tuple>
#include <vector>

namespace berth::cli {
namespace {

std::string Port(std::string_view text) {
  const auto port = ParsePort(text);
  if (!port) return port.error().message;
  return base::Cat(port->host_ip(), "|", port->host_port(), "|", port->container_port(), "|",
                   cri::Protocol_Name(port->protocol()));
}

TEST(ParsePort, TakesTheUsualForms) {
  EXPECT_EQ(Port("8080:80"), "|8080|80|TCP");
  EXPECT_EQ(Port("53:5353/udp"), "|53|5353|UDP");
  EXPECT_EQ(Port("53:53/SCTP"), "|53|53|SCTP");
  EXPECT_EQ(Port("127.0.0.1:8080:80"), "127.0.0.1|8080|80|TCP");
  EXPECT_EQ(Port("[::1]:8080:80/tcp"), "::1|8080|80|TCP");
}

TEST(ParsePort, SaysWhatIsWrong) {
  EXPECT_EQ(Port("80"), "-p 80: the host's port is missing; write it like -p 8080:80");
  EXPECT_EQ(Port("0:80"), "-p 0:80: \"0\" is not a port; write it like -p 8080:80");
  EXPECT_EQ(Port("65536:80"), "-p 65536:80: \"65536\" is not a port; write it like -p 8080:80");
  EXPECT_EQ(Port("a:b"), "-p a:b: \"b\" is not a port; write it like -p 8080:80");
  EXPECT_EQ(Port(":80"), "-p :80: \"\" is not a port; write it like -p 8080:80");
  EXPECT_EQ(Port("8080:80/icmp"), "-p 8080:80/icmp: \"icmp\" is no protocol; there are tcp, udp and sctp");
  EXPECT_EQ(Port(":8080:80"), "-p :8080:80: the address before the first colon is empty");
}

TEST(ParseMount, TakesPathsAndMode) {
  const auto plain = ParseMount("/srv/data:/data");
  ASSERT_TRUE(plain) << plain.error().message;
  EXPECT_EQ(plain->host_path(), "/srv/data");
  EXPECT_EQ(plain->container_path(), "/data");
  EXPECT_FALSE(plain->readonly());
  EXPECT_TRUE(ParseMount("/a:/b:ro")->readonly());
  EXPECT_FALSE(ParseMount("/a:/b:rw")->readonly());
}

TEST(ParseMount, RefusesEverythingElse) {
  for (const char* text : {"", "/a", "/a:", "a:/b", "/a:b", "/a:/b:x", "/a:/b:ro:rw"})
    EXPECT_FALSE(ParseMount(text)) << text;
}

TEST(ParseEnvironment, KeepsWhatFollowsTheFirstEqualsSign) {
  const auto entry = ParseEnvironment("A=b=c");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->key(), "A");
  EXPECT_EQ(entry->value(), "b=c");
  EXPECT_EQ(ParseEnvironment("A=")->value(), "");
}

TEST(ParseEnvironment, NameAloneTakesOurOwnValue) {
  ASSERT_EQ(setenv("BERTH_TEST_VARIABLE", "here", 1), 0);
  EXPECT_EQ(ParseEnvironment("BERTH_TEST_VARIABLE")->value(), "here");
  unsetenv("BERTH_TEST_VARIABLE");
  EXPECT_FALSE(ParseEnvironment("BERTH_TEST_VARIABLE"));
}

TEST(ParseEnvironment, NeedsAName) {
  EXPECT_FALSE(ParseEnvironment("=value"));
}

TEST(PortPairs, AreReadAsPeopleWriteThem) {
  for (const auto& [text, local, remote] : std::vector<std::tuple<std::string, int, int>>{
           {"8080:80", 8080, 80}, {"80", 80, 80}, {":80", 0, 80}, {"0:80", 0, 80}}) {
    const auto pair = ParsePortPair(text);
    ASSERT_TRUE(pair) << text;
    EXPECT_EQ(pair->local, local) << text;
    EXPECT_EQ(pair->remote, remote) << text;
  }
  for (const char* text : {"", ":", "80:", "80:0", "70000:80", "80:70000", "a:80", "1:2:3"})
    EXPECT_FALSE(ParsePortPair(text)) << text;
}

}  // namespace
}  // namespace berth::cli
