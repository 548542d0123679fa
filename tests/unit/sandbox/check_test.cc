#include "sandbox/check.h"

#include <gtest/gtest.h>

#include "base/strings.h"
#include "cri-proto/api.pb.h"

namespace berth::sandbox {
namespace {

using base::Code;

cri::PodSandboxConfig SomePod() {
  cri::PodSandboxConfig out;
  out.mutable_metadata()->set_name("web");
  out.mutable_metadata()->set_namespace_("shop");
  out.mutable_metadata()->set_uid("u1");
  return out;
}
cri::NamespaceOption& Namespaces(cri::PodSandboxConfig& config) {
  return *config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
}
void ExpectRefused(const cri::PodSandboxConfig& config, Code code, const std::string& part, bool systemd = false) {
  const base::Status status = CheckConfig(config, systemd);
  ASSERT_FALSE(status) << part;
  EXPECT_EQ(base::CodeName(status.error().code), base::CodeName(code)) << status.error().message;
  EXPECT_NE(status.error().message.find(part), std::string::npos) << status.error().message;
}

TEST(SandboxCheck, OrdinaryPodPasses) {
  EXPECT_TRUE(CheckConfig(SomePod(), false));
}

TEST(SandboxCheck, MetadataMustBeWhole) {
  cri::PodSandboxConfig config = SomePod();
  config.mutable_metadata()->clear_name();
  ExpectRefused(config, Code::kInvalidArgument, "metadata.name");
  config = SomePod();
  config.mutable_metadata()->clear_namespace_();
  ExpectRefused(config, Code::kInvalidArgument, "metadata.namespace");
  config = SomePod();
  config.mutable_metadata()->clear_uid();
  ExpectRefused(config, Code::kInvalidArgument, "metadata.uid");
  config = SomePod();
  config.mutable_metadata()->set_name("a;b=c");
  ExpectRefused(config, Code::kInvalidArgument, "config.metadata: \"a;b=c\"");
}

TEST(SandboxCheck, NamespacesOfAPodAreItsOwnOrTheNodes) {
  for (const auto mode : {cri::POD, cri::CONTAINER, cri::NODE, cri::TARGET, static_cast<cri::NamespaceMode>(9)}) {
    const bool shared_or_host = mode == cri::POD || mode == cri::NODE;
    cri::PodSandboxConfig config = SomePod();
    Namespaces(config).set_network(mode);
    EXPECT_EQ(CheckConfig(config, false).has_value(), shared_or_host) << "network " << mode;
    config = SomePod();
    Namespaces(config).set_ipc(mode);
    EXPECT_EQ(CheckConfig(config, false).has_value(), shared_or_host) << "ipc " << mode;
    config = SomePod();
    Namespaces(config).set_pid(mode);
    EXPECT_EQ(CheckConfig(config, false).has_value(), shared_or_host || mode == cri::CONTAINER) << "pid " << mode;
  }
}

TEST(SandboxCheck, UserNamespaceHasOneRangeOfEachKind) {
  cri::PodSandboxConfig config = SomePod();
  cri::UserNamespace& user = *Namespaces(config).mutable_userns_options();
  const auto add = [](cri::IDMapping* range, uint32_t host, uint32_t length) {
    range->set_host_id(host);
    range->set_length(length);
  };
  user.set_mode(cri::NODE);
  EXPECT_TRUE(CheckConfig(config, false));
  add(user.add_uids(), 100000, 65536);
  ExpectRefused(config, Code::kInvalidArgument, "takes no mappings");
  user.set_mode(cri::POD);
  Namespaces(config).set_pid(cri::CONTAINER);
  ExpectRefused(config, Code::kInvalidArgument, "one of gids");
  add(user.add_gids(), 200000, 1000);
  EXPECT_TRUE(CheckConfig(config, false));
  EXPECT_EQ(UserMapOf(config),
            (kernel::UserMap{.uids = {.host = 100000, .size = 65536}, .gids = {.host = 200000, .size = 1000}}));

  user.mutable_gids(0)->set_container_id(1);
  ExpectRefused(config, Code::kInvalidArgument, "container_id 0");
  user.mutable_gids(0)->set_container_id(0);
  for (const auto& [host, length] : {std::pair{5U, 0U}, std::pair{0xfffffffeU, 2U}}) {
    add(user.mutable_gids(0), host, length);
    ExpectRefused(config, Code::kInvalidArgument, "empty or passes");
  }
  add(user.mutable_gids(0), 0xfffffffe, 1);
  EXPECT_TRUE(CheckConfig(config, false));
  Namespaces(config).set_pid(cri::NODE);
  ExpectRefused(config, Code::kInvalidArgument, "host's pid or ipc");
  Namespaces(config).set_pid(cri::POD);
  ExpectRefused(config, Code::kInvalidArgument, "a shared pid namespace needs ranges of 65535 ids");
  add(user.mutable_uids(0), 100000, 65535);
  add(user.mutable_gids(0), 100000, 65535);
  EXPECT_TRUE(CheckConfig(config, false));
  Namespaces(config).set_ipc(cri::NODE);
  ExpectRefused(config, Code::kInvalidArgument, "host's pid or ipc");
  user.set_mode(cri::CONTAINER);
  ExpectRefused(config, Code::kInvalidArgument, "userns_options");
}

TEST(SandboxCheck, SysctlsMustBelongToANamespaceThatThePodHas) {
  struct Case {
    const char* name;
    bool own, host_network, host_ipc;  // passes in a pod with all of its own; of a host network; of the host's ipc
  };
  for (const Case& one : {Case{"net.ipv4.ip_forward", true, false, true}, Case{"net/core/somaxconn", true, false, true},
                          Case{"kernel.shmmax", true, true, false}, Case{"kernel.msgmni", true, true, false},
                          Case{"kernel.sem", true, true, false}, Case{"fs.mqueue.msg_max", true, true, false},
                          Case{"kernel.domainname", true, false, true}, Case{"kernel.hostname", false, false, false},
                          Case{"vm.swappiness", false, false, false}, Case{"kernel.panic", false, false, false},
                          Case{"net.../x", false, false, false}, Case{"", false, false, false}}) {
    cri::PodSandboxConfig config = SomePod();
    (*config.mutable_linux()->mutable_sysctls())[one.name] = "1";
    EXPECT_EQ(CheckConfig(config, false).has_value(), one.own) << one.name;
    Namespaces(config).set_network(cri::NODE);
    EXPECT_EQ(CheckConfig(config, false).has_value(), one.host_network) << one.name;
    Namespaces(config).set_network(cri::POD);
    Namespaces(config).set_ipc(cri::NODE);
    EXPECT_EQ(CheckConfig(config, false).has_value(), one.host_ipc) << one.name;
  }
}

TEST(SandboxCheck, PortsMustBePorts) {
  for (const auto& [container, host] :
       {std::pair(80, 65536), std::pair(-1, 80), std::pair(65536, 80), std::pair(80, -1)}) {
    cri::PodSandboxConfig config = SomePod();
    config.add_port_mappings()->set_container_port(container);
    config.mutable_port_mappings(0)->set_host_port(host);
    ExpectRefused(config, Code::kInvalidArgument, "port_mappings");
  }
}

TEST(SandboxCheck, HostAddressOfAPortMustBeOne) {
  for (const auto& [address, right] : {std::pair("", true), std::pair("127.0.0.1", true), std::pair("::1", true),
                                       std::pair("host", false), std::pair("1.2.3", false)}) {
    cri::PodSandboxConfig config = SomePod();
    config.add_port_mappings()->set_host_ip(address);
    EXPECT_EQ(CheckConfig(config, false).has_value(), right) << address;
    if (!right) ExpectRefused(config, Code::kInvalidArgument, "port_mappings: host_ip");
  }
}

TEST(SandboxCheck, TextsEndNowhereElseThanInTheKernel) {
  cri::PodSandboxConfig config = SomePod();
  config.mutable_dns_config()->add_servers(std::string("1.1.1.1\0x", 9));
  ExpectRefused(config, Code::kInvalidArgument, "config.dns_config.servers holds a NUL byte");
  config = SomePod();
  config.mutable_metadata()->set_namespace_(std::string("a\0", 2));
  ExpectRefused(config, Code::kInvalidArgument, "config.metadata.namespace holds a NUL byte");
  config = SomePod();
  (*config.mutable_annotations())["a"] = std::string("b\0", 2);
  EXPECT_TRUE(CheckConfig(config, false));
}

TEST(SandboxCheck, WhatThisNodeDoesNotKnowIsRefused) {
  cri::PodSandboxConfig config = SomePod();
  config.add_port_mappings()->set_protocol(static_cast<cri::Protocol>(9));
  ExpectRefused(config, Code::kInvalidArgument, "port_mappings: protocol 9");
  config = SomePod();
  Namespaces(config).set_target_id("c0");
  ExpectRefused(config, Code::kInvalidArgument, "target_id");
  config = SomePod();
  config.mutable_windows();
  ExpectRefused(config, Code::kInvalidArgument, "config.windows");
}

TEST(SandboxCheck, CgroupParentIsInTheDriversForm) {
  cri::PodSandboxConfig config = SomePod();
  config.mutable_linux()->set_cgroup_parent("/kubepods/podu1");
  EXPECT_TRUE(CheckConfig(config, false));
  ExpectRefused(config, Code::kInvalidArgument, "is not a slice", true);
  config.mutable_linux()->set_cgroup_parent("kubepods-podu1.slice");
  EXPECT_TRUE(CheckConfig(config, true));
  config.mutable_linux()->set_cgroup_parent("/kubepods/../../etc");
  ExpectRefused(config, Code::kInvalidArgument, "cgroup_parent");
  config.mutable_linux()->set_cgroup_parent("/");
  ExpectRefused(config, Code::kInvalidArgument, "cgroup_parent");
}

}  // namespace
}  // namespace berth::sandbox
