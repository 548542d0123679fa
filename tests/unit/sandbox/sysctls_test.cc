#include "sandbox/sysctls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cri-proto/api.pb.h"

namespace berth::sandbox {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

constexpr const char* kPing = "net.ipv4.ping_group_range";
constexpr const char* kPorts = "net.ipv4.ip_unprivileged_port_start";

cri::NamespaceOption& Namespaces(cri::PodSandboxConfig& config) {
  return *config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
}

TEST(Sysctls, DefaultsHoldWhereThePodSaysNothing) {
  const Sysctls defaults = {{kPing, "0 2147483647"}, {kPorts, "0"}, {"kernel.shmmax", "5"}};
  cri::PodSandboxConfig config;
  EXPECT_EQ(SysctlsOf(config, defaults).value(), defaults);
  // The same one, written otherwise.
  (*config.mutable_linux()->mutable_sysctls())["net/ipv4/ip_unprivileged_port_start"] = "80";
  EXPECT_THAT(SysctlsOf(config, defaults).value(), ElementsAre(Pair(kPing, "0 2147483647"), Pair("kernel.shmmax", "5"),
                                                               Pair("net/ipv4/ip_unprivileged_port_start", "80")));
}

TEST(Sysctls, DefaultsOfNamespacesThatThePodSharesWithTheHostArePassedOver) {
  const Sysctls defaults = {{kPorts, "0"}, {"kernel.domainname", "d"}, {"kernel.shmmax", "5"}};
  cri::PodSandboxConfig config;
  Namespaces(config).set_network(cri::NODE);
  EXPECT_THAT(SysctlsOf(config, defaults).value(), ElementsAre(Pair("kernel.shmmax", "5")));
  Namespaces(config).set_ipc(cri::NODE);
  EXPECT_THAT(SysctlsOf(config, defaults).value(), IsEmpty());
}

TEST(Sysctls, RangeOfAllGroupsIsNotForAUserNamespace) {
  const Sysctls defaults = {{kPing, "0 2147483647"}, {kPorts, "0"}};
  cri::PodSandboxConfig config;
  Namespaces(config).mutable_userns_options()->set_mode(cri::POD);
  EXPECT_THAT(SysctlsOf(config, defaults).value(), ElementsAre(Pair(kPorts, "0")));
  (*config.mutable_linux()->mutable_sysctls())[kPing] = "0 5";
  EXPECT_THAT(SysctlsOf(config, defaults).value(), ElementsAre(Pair(kPorts, "0"), Pair(kPing, "0 5")));
}

TEST(Sysctls, ConfiguredOnesMustBeAPods) {
  EXPECT_THAT(ParseSysctls({"net.ipv4.ping_group_range=0 2147483647", "kernel/shmmax="}).value(),
              ElementsAre(Pair(kPing, "0 2147483647"), Pair("kernel/shmmax", "")));
  for (const char* wrong : {"vm.swappiness=1", "kernel.hostname=x", "net..ipv4=1", "net.ipv4.ip_forward", "=1"}) {
    const auto refused = ParseSysctls({wrong});
    ASSERT_FALSE(refused) << wrong;
    EXPECT_EQ(refused.error().code, base::Code::kInvalidArgument);
    EXPECT_THAT(refused.error().message, HasSubstr(std::string(wrong).substr(0, std::string(wrong).find('='))));
  }
}

}  // namespace
}  // namespace berth::sandbox
