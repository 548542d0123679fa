#include "network/attachment_cache.h"

#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "tests/unit/network/fixtures.h"

namespace berth::network {
namespace {

using Json = nlohmann::json;

class AttachmentCacheTest : public testing::Test {
 protected:
  CachedAttachment Sample() const {
    return {.sandbox_id = "abc",
            .network = "pod-net",
            .config = R"({"name":"pod-net"})",
            .netns = "/run/netns/x",
            .args = "IgnoreUnknown=1;K=V",
            .capability_args = R"({"dns":{}})",
            .result = R"({"ips":[]})"};
  }
  TempFolder folder_;
  AttachmentCache cache_{folder_.path()};
};

TEST_F(AttachmentCacheTest, FileIsLibcnis) {
  ASSERT_TRUE(cache_.Put(Sample(), base::Durability::kVolatile));
  const base::Path file = folder_.path() / "pod-net-abc-eth0";
  struct stat status {};
  ASSERT_EQ(stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_EQ(Json::parse(*base::ReadFile(file)),
            Json({{"kind", "cniCacheV1"},
                  {"containerId", "abc"},
                  {"config", base::Base64Encode(Sample().config)},
                  {"ifName", "eth0"},
                  {"networkName", "pod-net"},
                  {"netns", "/run/netns/x"},
                  {"cniArgs", Json::array({Json::array({"IgnoreUnknown", "1"}), Json::array({"K", "V"})})},
                  {"capabilityArgs", {{"dns", Json::object()}}},
                  {"result", {{"ips", Json::array()}}}}));
}

TEST_F(AttachmentCacheTest, FindsWhatWasPut) {
  ASSERT_TRUE(cache_.Put(Sample(), base::Durability::kDurable));
  for (const char* network : {"pod-net", "renamed", ""}) {
    const auto found = cache_.Find("abc", network);
    ASSERT_TRUE(found) << network;
    ASSERT_EQ(found->size(), 1u) << network;
    EXPECT_EQ(found->front().config, Sample().config);
    EXPECT_EQ(found->front().netns, Sample().netns);
    EXPECT_EQ(found->front().args, Sample().args);
    EXPECT_EQ(found->front().capability_args, Sample().capability_args);
    EXPECT_EQ(found->front().result, Sample().result);
  }
}

TEST_F(AttachmentCacheTest, OtherSandboxIsNotFound) {
  ASSERT_TRUE(cache_.Put(Sample(), base::Durability::kVolatile));
  EXPECT_TRUE(cache_.Find("bc", "pod-net")->empty());
  EXPECT_FALSE(cache_.Has("bc", "pod-net"));
}

TEST_F(AttachmentCacheTest, TornFileKeepsItsNames) {
  for (const char* text : {"", "{\"kind\":\"cniCa", "[]", R"({"kind":"cniCacheV1","config":"%%%"})",
                           R"({"kind":"cniCacheV1","containerId":"other","networkName":"pod-net"})"}) {
    Write(folder_.path() / "pod-net-abc-eth0", text);
    const auto found = cache_.Find("abc", "pod-net");
    ASSERT_TRUE(found) << text;
    ASSERT_EQ(found->size(), 1u) << text;
    EXPECT_EQ(found->front().network, "pod-net") << text;
    EXPECT_EQ(found->front().sandbox_id, "abc") << text;
    EXPECT_EQ(found->front().config, "") << text;
  }
}

TEST_F(AttachmentCacheTest, OldFormatIsTheResultAlone) {
  Write(folder_.path() / "pod-net-abc-eth0", R"({"cniVersion":"0.3.1","ips":[]})");
  const auto found = cache_.List();
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 1u);
  EXPECT_EQ(found->front().result, R"({"cniVersion":"0.3.1","ips":[]})");
}

TEST_F(AttachmentCacheTest, ForeignFilesAreLeft) {
  for (const char* name : {"x", "-eth0", "a-eth0", "pod-net-abc-lo", "pod-net-abc-eth0.tmp"})
    Write(folder_.path() / name, "{}");
  EXPECT_TRUE(cache_.List()->empty());
}

TEST_F(AttachmentCacheTest, TornWritesAreRemovedAndNothingElse) {
  ASSERT_TRUE(cache_.Put(Sample(), base::Durability::kVolatile));
  for (const char* name : {"pod-net-abc-eth0.tmp", "pod-net-other-eth0.tmp", "x.tmp", "pod-net-abc-lo.tmp"})
    Write(folder_.path() / name, "{");
  EXPECT_TRUE(cache_.RemoveTorn());
  EXPECT_TRUE(cache_.Has("abc", "pod-net"));
  EXPECT_FALSE(base::Exists(folder_.path() / "pod-net-abc-eth0.tmp") ||
               base::Exists(folder_.path() / "pod-net-other-eth0.tmp"));
  EXPECT_TRUE(base::Exists(folder_.path() / "x.tmp") && base::Exists(folder_.path() / "pod-net-abc-lo.tmp"));
  EXPECT_TRUE(AttachmentCache(folder_.path() / "absent").RemoveTorn());
}

TEST_F(AttachmentCacheTest, RemoveTwiceSucceeds) {
  ASSERT_TRUE(cache_.Put(Sample(), base::Durability::kVolatile));
  EXPECT_TRUE(cache_.Remove(Sample()));
  EXPECT_FALSE(cache_.Has("abc", "pod-net"));
  EXPECT_TRUE(cache_.Remove(Sample()));
}

TEST_F(AttachmentCacheTest, MissingFolderIsEmpty) {
  EXPECT_TRUE(AttachmentCache(folder_.path() / "absent").List()->empty());
}

}  // namespace
}  // namespace berth::network
