#include "network/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/network/network_fixture.h"

namespace berth::network {
namespace {

using Json = nlohmann::json;
using base::Code;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(NetworkTest, AddRunsPluginsInOrderAndReturnsAddress) {
  std::vector<std::string> observed;
  const auto observe = [&](std::string_view plugin, std::string_view command) {
    observed.push_back(base::Cat(command, " ", plugin));
  };
  const auto attachment = Net().Add(Pod(), {}, observe);
  ASSERT_TRUE(attachment) << attachment.error().Text();
  EXPECT_THAT(attachment->ips, ElementsAre("10.0.0.2"));
  EXPECT_THAT(calls_->Commands(), ElementsAre("ADD first", "ADD second"));
  EXPECT_THAT(observed, ElementsAre("ADD first", "ADD second"));
}

TEST_F(NetworkTest, AddGivesEachPluginWhatItMayKnow) {
  ASSERT_TRUE(Net().Add(Pod(), {}));
  const auto& first = calls_->At(0);
  EXPECT_EQ(first.input, Json::parse(R"({"type":"first","name":"pods","cniVersion":"1.0.0"})"));
  EXPECT_EQ(first.variables.at("CNI_CONTAINERID"), "abc");
  EXPECT_EQ(first.variables.at("CNI_NETNS"), "/proc/self/ns/net");
  EXPECT_EQ(first.variables.at("CNI_IFNAME"), "eth0");
  EXPECT_THAT(first.variables.at("CNI_ARGS"), HasSubstr("K8S_POD_NAME=web"));
  const auto& second = calls_->At(1);
  EXPECT_EQ(second.input["prevResult"], Json::parse(kResult));
  EXPECT_EQ(second.input["runtimeConfig"],
            Json::parse(R"({"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]})"));
}

TEST_F(NetworkTest, ResultOfOlderVersionIsConvertedForTheNextPlugin) {
  calls_->Answers("first ADD", R"({"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.9/24"}})");
  ASSERT_TRUE(Net().Add(Pod(), {}));
  EXPECT_EQ(calls_->At(1).input["prevResult"],
            Json::parse(R"({"cniVersion":"1.0.0","ips":[{"address":"10.0.0.9/24"}]})"));
}

TEST_F(NetworkTest, FailedAddIsUndoneByDelOverTheWholeList) {
  calls_->Fails("second ADD", "plugin second failed (ADD): no");
  const auto attachment = Net().Add(Pod(), {});
  ASSERT_FALSE(attachment);
  EXPECT_EQ(attachment.error().Text(), "network pods: plugin second failed (ADD): no");
  EXPECT_THAT(calls_->Commands(), ElementsAre("ADD first", "ADD second"));
  EXPECT_TRUE(Net().Del(Pod(), {}));
  EXPECT_THAT(calls_->Commands(), ElementsAre("ADD first", "ADD second", "DEL second", "DEL first"));
  EXPECT_FALSE(base::Exists(CacheFile()));
}

TEST_F(NetworkTest, FailedAddThatCannotBeUndoneIsKept) {
  calls_->Fails("second ADD", "cause");
  calls_->Fails("first DEL", "plugin first failed (DEL): stuck");
  const auto attachment = Net().Add(Pod(), {});
  ASSERT_FALSE(attachment);
  EXPECT_THAT(attachment.error().message, HasSubstr("cause"));
  const base::Status undone = Net().Del(Pod(), {});
  ASSERT_FALSE(undone);
  EXPECT_THAT(undone.error().message, HasSubstr("stuck"));
  EXPECT_THAT(*Net().Attached(), ElementsAre("abc"));
  calls_->answers.erase("first DEL");
  EXPECT_TRUE(Net().Del(Pod(), {}));
  EXPECT_THAT(*Net().Attached(), IsEmpty());
}

TEST_F(NetworkTest, WhatCannotBeSaidToAPluginNeedsNoUndoing) {
  AttachRequest request = Pod();
  request.pod_name = "a;b";
  EXPECT_FALSE(Net().Add(request, {}));
  EXPECT_TRUE(Net().Del(request, {}));
  EXPECT_THAT(calls_->Commands(), IsEmpty());
}

TEST_F(NetworkTest, AddOfACallerThatLeftIsUndoneByDel) {
  const base::Context context = base::Context::Make("call");
  calls_->answers["first ADD"] = [&](const FakeCalls::Call&) {
    context.Cancel();
    return FakeCalls::Answer{.output = kResult};
  };
  const auto attachment = Net().Add(Pod(), context);
  ASSERT_FALSE(attachment);
  EXPECT_EQ(attachment.error().code, Code::kCancelled);
  EXPECT_TRUE(Net().Del(Pod(), {}));
  EXPECT_THAT(calls_->Commands(), ElementsAre("ADD first", "DEL second", "DEL first"));
}

TEST_F(NetworkTest, AnswerWithoutAddressIsUndoneWithThatAnswer) {
  calls_->Answers("second ADD", "{}");
  const auto attachment = Net().Add(Pod(), {});
  ASSERT_FALSE(attachment);
  EXPECT_THAT(attachment.error().Text(), HasSubstr("failed to find network info for sandbox"));
  EXPECT_TRUE(Net().Del(Pod(), {}));
  EXPECT_THAT(calls_->Commands(), ElementsAre("ADD first", "ADD second", "DEL second", "DEL first"));
  EXPECT_TRUE(calls_->At(2).input.contains("prevResult"));
}

TEST_F(NetworkTest, AnswerThatIsNoResultNamesThePlugin) {
  calls_->Answers("first ADD", "hello");
  const auto attachment = Net().Add(Pod(), {});
  ASSERT_FALSE(attachment);
  EXPECT_THAT(attachment.error().Text(), HasSubstr("plugin first failed (ADD): CNI result: not valid JSON"));
}

TEST_F(NetworkTest, MissingBinaryFailsAddBeforeAnythingIsDone) {
  calls_->missing = {"second"};
  const auto attachment = Net().Add(Pod(), {});
  ASSERT_FALSE(attachment);
  EXPECT_EQ(attachment.error().code, Code::kUnavailable);
  EXPECT_THAT(calls_->Commands(), IsEmpty());
  EXPECT_FALSE(base::Exists(CacheFile()));
}

TEST_F(NetworkTest, SecondAddOfASandboxIsRefused) {
  ASSERT_TRUE(Net().Add(Pod(), {}));
  const auto again = Net().Add(Pod(), {});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::kAlreadyExists);
}

TEST_F(NetworkTest, SandboxIdThatIsNoneIsRefused) {
  for (const char* id : {"", "../x", "a/b", "a-b", "a b"}) {
    EXPECT_EQ(Net().Add(Pod(id), {}).error().code, Code::kInvalidArgument) << id;
    EXPECT_EQ(Net().Del(Pod(id), {}).error().code, Code::kInvalidArgument) << id;
  }
}

TEST_F(NetworkTest, AddWithoutConfigurationIsUnavailable) {
  ASSERT_TRUE(base::RemoveTree(folder_.path() / "net.d"));
  const auto attachment = Net().Add(Pod(), {});
  ASSERT_FALSE(attachment);
  EXPECT_EQ(attachment.error().code, Code::kUnavailable);
  EXPECT_THAT(attachment.error().Text(), HasSubstr("Has your network provider started?"));
}

TEST_F(NetworkTest, FullDiskFailsAddBeforeAnythingIsDone) {
  Net();
  ASSERT_TRUE(base::RemoveTree(folder_.path() / "cache/results"));
  EXPECT_FALSE(Net().Add(Pod(), {}));
  EXPECT_THAT(calls_->Commands(), IsEmpty());
}

TEST_F(NetworkTest, DelRunsInReverseWithWhatAddHad) {
  ASSERT_TRUE(Net().Add(Pod(), {}));
  Restart();
  Configure("1.0.0", "", "renamed");
  AttachRequest request{.sandbox_id = "abc"};
  ASSERT_TRUE(Net().Del(request, {}));
  EXPECT_THAT(calls_->Commands(), ElementsAre("ADD first", "ADD second", "DEL second", "DEL first"));
  const auto& second = calls_->At(2);
  EXPECT_EQ(second.input["name"], "pods");
  EXPECT_EQ(second.input["prevResult"], Json::parse(kResult));
  EXPECT_EQ(second.input["runtimeConfig"], calls_->At(1).input["runtimeConfig"]);
  EXPECT_EQ(second.variables.at("CNI_ARGS"), calls_->At(1).variables.at("CNI_ARGS"));
  EXPECT_EQ(second.variables.at("CNI_NETNS"), "/proc/self/ns/net");
  EXPECT_FALSE(base::Exists(CacheFile()));
}

TEST_F(NetworkTest, DelOfMissingNamespaceHasEmptyNetns) {
  ASSERT_TRUE(Net().Add(Pod(), {}));
  Write(folder_.path() / "unmounted", "");
  for (const base::Path& netns : {base::Path("/nowhere/ns"), folder_.path() / "unmounted"}) {
    calls_->Fails("first DEL", "keep the cache");
    AttachRequest request = Pod();
    request.netns = netns;
    EXPECT_FALSE(Net().Del(request, {}));
    EXPECT_EQ(calls_->calls.back().variables.at("CNI_NETNS"), "") << netns;
  }
}

TEST_F(NetworkTest, DelTriesAllPluginsAndReturnsTheFirstError) {
  ASSERT_TRUE(Net().Add(Pod(), {}));
  calls_->Fails("second DEL", "second is stuck");
  calls_->Fails("first DEL", "first is stuck");
  const auto status = Net().Del(Pod(), {});
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().Text(), HasSubstr("second is stuck"));
  EXPECT_THAT(calls_->Commands(), ElementsAre("ADD first", "ADD second", "DEL second", "DEL first"));
  EXPECT_TRUE(base::Exists(CacheFile()));
}

TEST_F(NetworkTest, DelOfContainerUnknownToThePluginSucceeds) {
  ASSERT_TRUE(Net().Add(Pod(), {}));
  calls_->Fails("second DEL", "unknown container", 3);
  EXPECT_TRUE(Net().Del(Pod(), {}));
  EXPECT_FALSE(base::Exists(CacheFile()));
}

TEST_F(NetworkTest, DelWithoutCacheUsesTodaysConfiguration) {
  ASSERT_TRUE(Net().Del(Pod(), {}));
  EXPECT_THAT(calls_->Commands(), ElementsAre("DEL second", "DEL first"));
  EXPECT_FALSE(calls_->At(0).input.contains("prevResult"));
  EXPECT_TRUE(calls_->At(0).input.contains("runtimeConfig"));
  EXPECT_TRUE(Net().Del(Pod(), {}));
}

TEST_F(NetworkTest, DelWithTornCacheUsesTodaysConfiguration) {
  Net();
  Write(CacheFile(), "{\"kind\":");
  ASSERT_TRUE(Net().Del(Pod(), {}));
  EXPECT_THAT(calls_->Commands(), ElementsAre("DEL second", "DEL first"));
  EXPECT_FALSE(base::Exists(CacheFile()));
}

TEST_F(NetworkTest, DelWithNeitherCacheNorConfigurationSucceeds) {
  ASSERT_TRUE(base::RemoveTree(folder_.path() / "net.d"));
  EXPECT_TRUE(Net().Del(Pod(), {}));
  EXPECT_THAT(calls_->Commands(), IsEmpty());
}

TEST_F(NetworkTest, DelAfterDeathInTheMiddleOfAddUsesTheIntent) {
  // What is on disk while a plugin runs is what a killed daemon leaves.
  std::string intent;
  calls_->answers["second ADD"] = [&](const FakeCalls::Call&) {
    intent = base::ReadFile(CacheFile()).value_or("");
    return FakeCalls::Answer{.output = kResult};
  };
  ASSERT_TRUE(Net().Add(Pod(), {}));
  Write(CacheFile(), intent);
  Restart();
  Configure("1.0.0", "", "renamed");
  ASSERT_TRUE(Net().Del(Pod(), {}));
  EXPECT_EQ(calls_->At(2).input["name"], "pods");
  EXPECT_FALSE(calls_->At(2).input.contains("prevResult"));
}

TEST_F(NetworkTest, DelBeforeVersion040HasNoPreviousResult) {
  Configure("0.3.1");
  calls_->Answers("second ADD", R"({"cniVersion":"0.3.1","ips":[{"version":"4","address":"10.0.0.2/24"}]})");
  ASSERT_TRUE(Net().Add(Pod(), {}));
  ASSERT_TRUE(Net().Del(Pod(), {}));
  EXPECT_FALSE(calls_->At(2).input.contains("prevResult"));
}

TEST_F(NetworkTest, CheckGivesTheCachedResult) {
  ASSERT_TRUE(Net().Add(Pod(), {}));
  ASSERT_TRUE(Net().Check(Pod(), {}));
  EXPECT_THAT(calls_->Commands(), ElementsAre("ADD first", "ADD second", "CHECK first", "CHECK second"));
  EXPECT_EQ(calls_->At(2).input["prevResult"], Json::parse(kResult));
}

TEST_F(NetworkTest, CheckWithoutAttachmentIsRefused) {
  EXPECT_EQ(Net().Check(Pod(), {}).error().code, Code::kFailedPrecondition);
}

TEST_F(NetworkTest, CheckIsNotRunWhenDisabled) {
  Configure("1.0.0", R"(,"disableCheck":"true")");
  ASSERT_TRUE(Net().Add(Pod(), {}));
  EXPECT_TRUE(Net().Check(Pod(), {}));
  EXPECT_THAT(calls_->Commands(), ElementsAre("ADD first", "ADD second"));
}

TEST_F(NetworkTest, GcUndoesStaleAttachmentsAndTellsTheValidOnes) {
  Configure("1.1.0");
  ASSERT_TRUE(Net().Add(Pod("live"), {}));
  ASSERT_TRUE(Net().Add(Pod("stale"), {}));
  ASSERT_TRUE(Net().Gc({"live"}, {}));
  const auto commands = calls_->Commands();
  EXPECT_THAT(std::vector<std::string>(commands.begin() + 4, commands.end()),
              ElementsAre("DEL second", "DEL first", "GC first", "GC second"));
  EXPECT_EQ(calls_->At(4).variables.at("CNI_CONTAINERID"), "stale");
  const auto& gc = calls_->At(6);
  EXPECT_EQ(gc.input["cni.dev/valid-attachments"], Json::parse(R"([{"containerID":"live","ifname":"eth0"}])"));
  EXPECT_EQ(gc.input["cni.dev/attachments"], gc.input["cni.dev/valid-attachments"]);
  EXPECT_FALSE(gc.variables.contains("CNI_CONTAINERID"));
  EXPECT_THAT(*Net().Attached(), ElementsAre("live"));
}

TEST_F(NetworkTest, GcOfNoSandboxesGivesAnEmptyList) {
  Configure("1.1.0");
  ASSERT_TRUE(Net().Gc({}, {}));
  EXPECT_EQ(calls_->At(0).input["cni.dev/valid-attachments"], Json::array());
}

TEST_F(NetworkTest, GcOfOldOrDisabledListOnlyUndoesStaleAttachments) {
  ASSERT_TRUE(Net().Add(Pod("stale"), {}));
  ASSERT_TRUE(Net().Gc({}, {}));
  Configure("1.1.0", R"(,"disableGC":true)");
  ASSERT_TRUE(Net().Gc({}, {}));
  EXPECT_THAT(calls_->Commands(), ElementsAre("ADD first", "ADD second", "DEL second", "DEL first"));
}

TEST_F(NetworkTest, PodCidrIsGivenAndKeptOverRestarts) {
  Write(folder_.path() / "net.d" / "10-a.conflist",
        R"({"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"first","capabilities":{"ipRanges":true}}]})");
  ASSERT_TRUE(Net().SetPodCidr("10.0.0.0/24, fd00::/64"));
  Restart();
  ASSERT_TRUE(Net().Add(Pod(), {}));
  EXPECT_EQ(calls_->At(0).input["runtimeConfig"]["ipRanges"],
            Json::parse(R"([[{"subnet":"10.0.0.0/24"}],[{"subnet":"fd00::/64"}]])"));
}

TEST_F(NetworkTest, PodCidrThatIsNoneIsRefused) {
  for (const char* cidr : {"10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/24,", "fd00::/129", "10.0.0.0/-1"}) {
    EXPECT_EQ(Net().SetPodCidr(cidr).error().code, Code::kInvalidArgument) << cidr;
  }
  EXPECT_TRUE(Net().SetPodCidr(""));
}

}  // namespace
}  // namespace berth::network
