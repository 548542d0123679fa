#include "network/attach_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "network/quantity.h"

namespace berth::network {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

AttachRequest Pod() {
  return {.sandbox_id = "abc", .pod_name = "web", .pod_namespace = "shop", .pod_uid = "u-1"};
}

TEST(AttachRequestTest, ArgsNameThePod) {
  EXPECT_EQ(CniArgs(Pod()).value_or(""),
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=u-1");
}

TEST(AttachRequestTest, SeparatorInArgsIsRefused) {
  AttachRequest pod = Pod();
  pod.pod_name = "a;CNI_X=1";
  EXPECT_FALSE(CniArgs(pod));
}

TEST(AttachRequestTest, NothingGivesNoCapabilityArgs) {
  EXPECT_EQ(CapabilityArgs(Pod(), {}).value_or(""), "{}");
}

TEST(AttachRequestTest, CapabilityArgsHoldAllThatIsGiven) {
  AttachRequest pod = Pod();
  pod.port_mappings = {{"tcp", 80, 8080, ""}, {"udp", 53, 5353, "127.0.0.1"}, {"tcp", 81, 0, ""}};
  pod.dns = DnsConfig{{"1.1.1.1"}, {"a.b"}, {"ndots:5"}};
  pod.annotations = {{"kubernetes.io/ingress-bandwidth", "10M"}, {"kubernetes.io/egress-bandwidth", "1k"}};
  pod.cgroup_parent = "/kubepods/x";
  const auto args = CapabilityArgs(pod, {"10.0.0.0/24", "fd00::/64"});
  ASSERT_TRUE(args) << args.error().Text();
  EXPECT_EQ(Json::parse(*args), Json::parse(R"({
    "portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"},
                    {"hostPort":5353,"containerPort":53,"protocol":"udp","hostIP":"127.0.0.1"}],
    "dns":{"servers":["1.1.1.1"],"searches":["a.b"],"options":["ndots:5"]},
    "bandwidth":{"ingressRate":10000000,"ingressBurst":4294967295,"egressRate":1000,"egressBurst":4294967295},
    "ipRanges":[[{"subnet":"10.0.0.0/24"}],[{"subnet":"fd00::/64"}]],
    "cgroupPath":"/kubepods/x",
    "io.kubernetes.cri.pod-annotations":{"kubernetes.io/ingress-bandwidth":"10M","kubernetes.io/egress-bandwidth":"1k"}})"));
}

TEST(AttachRequestTest, BandwidthOutOfRangeIsRefused) {
  for (const char* value : {"999", "2P", "fast", "", "-1M"}) {
    AttachRequest pod = Pod();
    pod.annotations = {{"kubernetes.io/egress-bandwidth", value}};
    const auto args = CapabilityArgs(pod, {});
    ASSERT_FALSE(args) << value;
    EXPECT_EQ(args.error().code, base::Code::kInvalidArgument);
    EXPECT_THAT(args.error().Text(), HasSubstr("kubernetes.io/egress-bandwidth"));
  }
}

TEST(QuantityTest, ReadsWhatKubernetesWrites) {
  struct Case {
    const char* text;
    int64_t value;
  };
  const Case cases[] = {{"0", 0},
                        {"1", 1},
                        {"+5", 5},
                        {"1k", 1000},
                        {"1Ki", 1024},
                        {"1.5M", 1500000},
                        {"1.5Ki", 1536},
                        {"100m", 1},
                        {"1500m", 2},
                        {"1e3", 1000},
                        {"1E3", 1000},
                        {"1E", 1000000000000000000},
                        {".5k", 500},
                        {"5.", 5},
                        {"2e-1", 1},
                        {"1e+2", 100},
                        {"1n", 1},
                        {"1P", 1000000000000000},
                        {"0.000000001Gi", 2},
                        {"007", 7}};
  for (const Case& one : cases) {
    EXPECT_EQ(ParseQuantity(one.text), std::optional<int64_t>(one.value)) << one.text;
  }
}

TEST(QuantityTest, RefusesWhatIsNone) {
  for (const char* text :
       {"", "k", "-1", "1kk", "1 k", "1K", "e3", "1e", "1e99", "1.2.3", "99999999999999999999", "9999Pi", "99E", "."}) {
    EXPECT_EQ(ParseQuantity(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace berth::network
