// What network lists can do for a pod beyond one address: two families, bandwidth.
#include <netdb.h>
#include <sys/socket.h>

#include "base/child.h"
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using base::Cat;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class Cni : public OnNode {
 protected:
  // In the place of the usual list; true once the daemon uses it.
  bool UseList(const std::string& plugins) {
    const std::string list = Cat(R"({"cniVersion":"1.0.0","name":"other","plugins":[)", plugins, "]}");
    EXPECT_TRUE(base::WriteFile(daemon().net_folder() / "10-e2e.conflist", list, 0644));
    return Eventually([&] {
      v1::StatusRequest verbose;
      verbose.set_verbose(true);
      auto status = cri().Call(&v1::RuntimeService::Stub::Status, verbose);
      return status.ok() && status->info().at("config").find("\"other\"") != std::string::npos;
    });
  }
  std::string Bridge(const std::string& ranges) {
    return Cat(R"({"type":"bridge","bridge":"e2e0","isGateway":true,"ipam":{"type":"host-local","dataDir":")",
               daemon().address_folder().string(), R"(","ranges":)", ranges, "}}");
  }
  std::string Inside(const std::string& pod, const v1::PodSandboxConfig& pod_config, const std::string& script) {
    auto config = Container(Sh(script));
    auto created = cri().Create(pod, config, pod_config);
    EXPECT_CALL_OK(created);
    EXPECT_CALL_OK(cri().Start(created->container_id()));
    const base::Path log = base::Path(pod_config.log_directory()) / config.log_path();
    EXPECT_EQ(WaitExited(created->container_id()).exit_code(), 0) << LogText(log, "stderr");
    return LogText(log);
  }
  static bool HasIpv6() { return base::Exists("/proc/net/if_inet6"); }
  // What the node gets of a pod's page, with its headers; "" when nobody answers.
  static std::string Fetch(const std::string& address) {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (getaddrinfo(address.c_str(), "8080", &hints, &found) != 0) return {};
    const base::UniqueFd fd(socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    // While the bridge's address is tentative the node would speak from another one, and wait for long.
    constexpr timeval kTurn{.tv_sec = 1, .tv_usec = 0};
    if (setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kTurn, sizeof kTurn) != 0) return {};
    const bool connected = connect(fd.get(), found->ai_addr, found->ai_addrlen) == 0;
    freeaddrinfo(found);
    if (!connected || !base::WriteAll(fd.get(), "GET /page HTTP/1.0\r\n\r\n", address)) return {};
    return base::ReadAll(fd.get(), 1 << 16, address).value_or(std::string());
  }
  // Queueing rules of the node's interfaces.
  std::string QueueingRules() {
    base::RunOptions run{.spawn = {.program = "/usr/sbin/tc", .arguments = {"tc", "qdisc", "show"}},
                         .output_limit = 1 << 20};
    auto result = base::Run(std::move(run), base::Context().WithTimeout(std::chrono::seconds(30)));
    EXPECT_TRUE(result) << result.error().Text();
    return result ? result->output : std::string();
  }
};

TEST_F(Cni, PodOfTwoFamiliesHasAnAddressAndAnAdditionalOne) {
  ASSERT_TRUE(UseList(Bridge(R"([[{"subnet":"10.89.0.0/16"}],[{"subnet":"fd00:89::/64"}]])")));
  auto config = OnNode::Pod();
  const std::string pod = RunPod(config);
  auto status = cri().PodStatus(pod);
  ASSERT_CALL_OK(status);
  const auto& network = status->status().network();
  EXPECT_THAT(network.ip(), StartsWith("10.89."));
  ASSERT_EQ(network.additional_ips_size(), 1);
  EXPECT_THAT(network.additional_ips(0).ip(), StartsWith("fd00:89::"));
  const std::string inside = Inside(pod, config, "ip -o addr show eth0");
  EXPECT_THAT(inside,
              AllOf(HasSubstr(Cat(network.ip(), "/16")), HasSubstr(Cat(network.additional_ips(0).ip(), "/64"))));
}

TEST_F(Cni, BothFamiliesReachThePodAndThePodReachesOut) {
  if (!HasIpv6()) GTEST_SKIP() << "the kernel has no IPv6";
  ASSERT_TRUE(UseList(Bridge(R"([[{"subnet":"10.89.0.0/16"}],[{"subnet":"fd00:89::/64"}]])")));
  auto server_config = OnNode::Pod("server");
  const std::string server = RunPod(server_config);
  auto web = Container(Sh("echo here > /tmp/page; exec httpd -f -p 8080 -h /tmp"));
  auto created = cri().Create(server, web, server_config);
  ASSERT_CALL_OK(created);
  ASSERT_CALL_OK(cri().Start(created->container_id()));
  const auto network = cri().PodStatus(server)->status().network();
  ASSERT_EQ(network.additional_ips_size(), 1);
  const std::string first = network.ip();
  const std::string second = network.additional_ips(0).ip();
  for (const std::string& address : {first, second}) {
    EXPECT_TRUE(Eventually([&] { return Fetch(address).ends_with("here\n"); })) << "from the node: " << address;
  }
  auto client_config = OnNode::Pod("client");
  const std::string client = RunPod(client_config);
  EXPECT_EQ(
      Inside(
          client, client_config,
          Cat("wget -q -O- http://", first, ":8080/page && wget -q -O- 'http://[", second,
              "]:8080/page' && ping -q -c1 10.89.0.1 >/dev/null && ping6 -q -c1 fd00:89::1 >/dev/null && echo node")),
      "here\nhere\nnode\n");
}

TEST_F(Cni, PodOfIpv6AloneHasThatAddress) {
  ASSERT_TRUE(UseList(Bridge(R"([[{"subnet":"fd00:89::/64"}]])")));
  auto config = OnNode::Pod();
  const std::string pod = RunPod(config);
  auto status = cri().PodStatus(pod);
  ASSERT_CALL_OK(status);
  EXPECT_THAT(status->status().network().ip(), StartsWith("fd00:89::"));
  EXPECT_EQ(status->status().network().additional_ips_size(), 0);
  EXPECT_THAT(Inside(pod, config, "ip -o -6 addr show eth0 scope global"), HasSubstr(status->status().network().ip()));
}

TEST_F(Cni, BandwidthOfAnnotationsIsTheInterfaces) {
  ASSERT_TRUE(UseList(
      Cat(Bridge(R"([[{"subnet":"10.89.0.0/16"}]])"), R"(,{"type":"bandwidth","capabilities":{"bandwidth":true}})")));
  EXPECT_THAT(QueueingRules(), Not(HasSubstr("tbf")));
  auto config = OnNode::Pod();
  (*config.mutable_annotations())["kubernetes.io/ingress-bandwidth"] = "3M";
  (*config.mutable_annotations())["kubernetes.io/egress-bandwidth"] = "5M";
  const std::string pod = RunPod(config);
  EXPECT_THAT(QueueingRules(), AllOf(HasSubstr("tbf"), HasSubstr("rate 3Mbit"), HasSubstr("rate 5Mbit")));
  ASSERT_CALL_OK(cri().StopPod(pod));
  EXPECT_THAT(QueueingRules(), Not(HasSubstr("tbf")));
}

TEST_F(Cni, BandwidthThatIsNoQuantityIsRefusedByItsName) {
  auto config = OnNode::Pod();
  (*config.mutable_annotations())["kubernetes.io/ingress-bandwidth"] = "fast";
  auto run = cri().RunPod(config);
  EXPECT_EQ(run.code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(run.message(), HasSubstr("kubernetes.io/ingress-bandwidth"));
}

}  // namespace
}  // namespace berth::e2e
