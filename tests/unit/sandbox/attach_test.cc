#include "sandbox/attach.h"

#include <gtest/gtest.h>

#include "cri-proto/api.pb.h"

namespace berth::sandbox {
namespace {

Sandbox Sample() {
  auto config = std::make_shared<cri::PodSandboxConfig>();
  config->mutable_metadata()->set_name("web");
  config->mutable_metadata()->set_namespace_("shop");
  config->mutable_metadata()->set_uid("u1");
  (*config->mutable_annotations())["kubernetes.io/ingress-bandwidth"] = "1M";
  for (const auto protocol : {cri::TCP, cri::UDP, cri::SCTP}) {
    auto& mapping = *config->add_port_mappings();
    mapping.set_protocol(protocol);
    mapping.set_container_port(80);
    mapping.set_host_port(8080);
    mapping.set_host_ip("127.0.0.1");
  }
  config->mutable_dns_config()->add_servers("10.0.0.10");
  config->mutable_dns_config()->add_searches("svc");
  config->mutable_dns_config()->add_options("ndots:5");
  Sandbox out;
  out.id = "s1";
  out.config = config;
  out.net_namespace = "/run/netns/berth-s1";
  out.cgroup_parent = "/kubepods/podu1";
  return out;
}

TEST(Attach, NetworkIsToldAllOfThePod) {
  const network::AttachRequest request = AttachRequestOf(Sample());
  EXPECT_EQ(request.sandbox_id, "s1");
  EXPECT_EQ(request.netns, "/run/netns/berth-s1");
  EXPECT_EQ(request.pod_name, "web");
  EXPECT_EQ(request.pod_namespace, "shop");
  EXPECT_EQ(request.pod_uid, "u1");
  EXPECT_EQ(request.cgroup_parent, "/kubepods/podu1");
  EXPECT_EQ(request.annotations.at("kubernetes.io/ingress-bandwidth"), "1M");
  ASSERT_EQ(request.port_mappings.size(), 3u);
  EXPECT_EQ(request.port_mappings[0].protocol, "tcp");
  EXPECT_EQ(request.port_mappings[1].protocol, "udp");
  EXPECT_EQ(request.port_mappings[2].protocol, "sctp");
  EXPECT_EQ(request.port_mappings[2].container_port, 80);
  EXPECT_EQ(request.port_mappings[2].host_port, 8080);
  EXPECT_EQ(request.port_mappings[2].host_ip, "127.0.0.1");
  ASSERT_TRUE(request.dns);
  EXPECT_EQ(request.dns->servers, std::vector<std::string>{"10.0.0.10"});
  EXPECT_EQ(request.dns->searches, std::vector<std::string>{"svc"});
  EXPECT_EQ(request.dns->options, std::vector<std::string>{"ndots:5"});
}

TEST(Attach, PodWithoutDnsConfigHasNone) {
  Sandbox sandbox = Sample();
  auto config = std::make_shared<cri::PodSandboxConfig>(*sandbox.config);
  config->clear_dns_config();
  sandbox.config = config;
  EXPECT_FALSE(AttachRequestOf(sandbox).dns);
}

TEST(Attach, LedgerEntryOutlivesARebootAndLeadsBack) {
  const state::Entry entry = CniEntry(AttachRequestOf(Sample()));
  EXPECT_EQ(entry.kind, "cni");
  EXPECT_TRUE(entry.durable);
  const network::AttachRequest request = RequestOf(entry);
  EXPECT_EQ(request.sandbox_id, "s1");
  EXPECT_EQ(request.netns, "/run/netns/berth-s1");
  EXPECT_EQ(request.pod_name, "web");
  EXPECT_EQ(request.pod_namespace, "shop");
  EXPECT_EQ(request.pod_uid, "u1");
}

TEST(Attach, EntryThatLacksDetailsStillNamesItsSandbox) {
  const network::AttachRequest request = RequestOf({.kind = "cni", .target = "s1"});
  EXPECT_EQ(request.sandbox_id, "s1");
  EXPECT_TRUE(request.netns.empty());
}

}  // namespace
}  // namespace berth::sandbox
