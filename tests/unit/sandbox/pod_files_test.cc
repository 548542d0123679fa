#include "sandbox/pod_files.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.h"
#include "cri-proto/api.pb.h"

namespace berth::sandbox {
namespace {

std::string NodeName() {
  char name[65] = {};
  EXPECT_EQ(gethostname(name, sizeof name), 0);
  return name;
}

TEST(PodHostname, IsTheRequestsOrTheNodes) {
  cri::PodSandboxConfig config;
  EXPECT_EQ(*PodHostname(config), NodeName());
  config.set_hostname("web-0");
  EXPECT_EQ(*PodHostname(config), "web-0");
  config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(cri::NODE);
  EXPECT_EQ(*PodHostname(config), NodeName());
}

TEST(PodHostname, LongestNameIsTheKernels) {
  cri::PodSandboxConfig config;
  config.set_hostname(std::string(64, 'a'));
  EXPECT_TRUE(PodHostname(config));
  config.set_hostname(std::string(65, 'a'));
  EXPECT_FALSE(PodHostname(config));
}

// It becomes a line of /etc/hosts.
TEST(PodHostname, NameThatIsMoreThanAWordIsRefused) {
  for (const std::string& name :
       {std::string("a b"), std::string("a\n6.6.6.6 bank"), std::string("a\0b", 3), std::string("\xc3\xa9")}) {
    cri::PodSandboxConfig config;
    config.set_hostname(name);
    const auto hostname = PodHostname(config);
    ASSERT_FALSE(hostname);
    EXPECT_EQ(hostname.error().code, base::Code::kInvalidArgument);
  }
}

TEST(ResolvConf, LinesStandForListsThatAreNotEmpty) {
  cri::PodSandboxConfig config;
  auto& dns = *config.mutable_dns_config();
  dns.add_servers("10.0.0.10");
  EXPECT_EQ(*ResolvConf(config), "nameserver 10.0.0.10\n");
  dns.add_servers("fd00::a");
  dns.add_searches("shop.svc");
  dns.add_searches("svc");
  dns.add_options("ndots:5");
  dns.add_options("edns0");
  EXPECT_EQ(*ResolvConf(config),
            "search shop.svc svc\nnameserver 10.0.0.10\nnameserver fd00::a\noptions ndots:5 edns0\n");
}

TEST(ResolvConf, WithoutConfigItIsTheNodes) {
  const auto node = base::ReadFile("/etc/resolv.conf");
  cri::PodSandboxConfig config;
  EXPECT_EQ(*ResolvConf(config), node ? *node : "");
  config.mutable_dns_config();
  EXPECT_EQ(*ResolvConf(config), node ? *node : "");
}

TEST(ResolvConf, ValueWithALineBreakIsRefused) {
  cri::PodSandboxConfig config;
  config.mutable_dns_config()->add_options("ndots:5\nnameserver 6.6.6.6");
  const auto text = ResolvConf(config);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, base::Code::kInvalidArgument);
}

TEST(HostsFile, NamesTheLoopbackAndThePod) {
  EXPECT_EQ(*HostsFile("web", {"10.1.2.3", "fd00::1"}),
            "127.0.0.1\tlocalhost\n"
            "::1\tlocalhost ip6-localhost ip6-loopback\n"
            "ff02::1\tip6-allnodes\n"
            "ff02::2\tip6-allrouters\n"
            "10.1.2.3\tweb\n"
            "fd00::1\tweb\n");
}

TEST(HostsFile, OfTheHostsNetworkIsTheNodes) {
  const auto node = base::ReadFile("/etc/hosts");
  EXPECT_EQ(*HostsFile("web", {}), node ? *node : "");
}

}  // namespace
}  // namespace berth::sandbox
