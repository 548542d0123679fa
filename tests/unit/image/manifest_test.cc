#include "image/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "image/media_type.h"

namespace berth::image {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
const std::string kDigest = "sha256:" + std::string(64, 'a');

std::string Entry(const std::string& type, const std::string& more = "") {
  return R"({"mediaType":")" + type + R"(","digest":")" + kDigest + R"(","size":5)" + more + "}";
}
const std::string kLayer = "application/vnd.oci.image.layer.v1.tar+gzip";
std::string ManifestText(const std::string& layers, const std::string& config_type = std::string(kOciConfig)) {
  return R"({"schemaVersion":2,"config":)" + Entry(config_type) + R"(,"layers":[)" + layers + "]}";
}

TEST(Manifest, LayersKeepTheirOrderAndSizesAddUp) {
  const auto document = ParseDocument(ManifestText(Entry(kLayer) + "," + Entry(kLayer)), kOciManifest);
  ASSERT_TRUE(document) << document.error().Text();
  EXPECT_EQ(std::get<Manifest>(*document).LayerBytes(), 10);
}

TEST(Manifest, UntypedAnswerIsReadByItsStructure) {
  EXPECT_TRUE(ParseDocument(ManifestText(Entry(kLayer)), "application/json; charset=utf-8"));
  EXPECT_TRUE(ParseDocument(R"({"schemaVersion":2,"manifests":[]})", ""));
  EXPECT_EQ(DocumentMediaType(R"({"schemaVersion":2,"manifests":[]})", "text/plain"), kOciIndex);
}

TEST(Manifest, WhatIsRefusedSaysWhy) {
  const std::string both = R"({"schemaVersion":2,"manifests":[],"layers":[]})";
  const std::vector<std::tuple<std::string, std::string, std::string>> table = {
      {both, "", "at once"},
      {R"({"schemaVersion":2,"manifests":[],"config":null})", "", "at once"},
      {R"({"schemaVersion":1,"fsLayers":[]})", "", "schema 1"},
      {"{}", "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1"},
      {"{}", "", "neither"},
      {"[]", "", "not an object"},
      {"{", "", "not valid JSON"},
      {R"({"schemaVersion":3,"manifests":[]})", "", "schema version 3"},
      {ManifestText(Entry(kLayer)), std::string(kOciIndex), "kind"},
      {R"({"schemaVersion":2,"mediaType":")" + std::string(kDockerList) + R"(","manifests":[]})",
       std::string(kOciIndex), "but says"},
      {ManifestText(Entry("application/vnd.in-toto+json")), "", "no layer"},
      {ManifestText(Entry(kLayer + "+encrypted")), "", "encrypted"},
      {ManifestText(R"({"mediaType":")" + kLayer + R"(","digest":")" + kDigest + R"(","size":-1})"), "", "size"},
      {ManifestText(R"({"mediaType":")" + kLayer + R"(","digest":")" + kDigest + R"("})"), "", "size"},
      {ManifestText(R"({"mediaType":")" + kLayer + R"(","digest":"sha256:../../x","size":1})"), "", "digest"},
      {R"({"schemaVersion":2,"layers":[]})", "", "no config"},
      {std::string(kMaxManifestBytes + 1, ' '), "", "larger"},
  };
  for (const auto& [body, type, why] : table) {
    const auto document = ParseDocument(body, type);
    ASSERT_FALSE(document) << body.substr(0, 100);
    EXPECT_THAT(document.error().message, HasSubstr(why)) << body.substr(0, 100);
  }
}

TEST(Manifest, InlineDataIsKeptOnlyWhenItIsTheContent) {
  const std::string good = R"({"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":")" +
                           Sha256::Of("{}").str() + R"(","data":"e30="})";
  auto document = ParseDocument(R"({"schemaVersion":2,"config":)" + good + R"(,"layers":[]})", "");
  EXPECT_EQ(std::get<Manifest>(*document).config.data, "{}");
  document = ParseDocument(
      R"({"schemaVersion":2,"config":)" + Entry(std::string(kOciConfig), R"(,"data":"e30=")") + R"(,"layers":[]})", "");
  EXPECT_EQ(std::get<Manifest>(*document).config.data, "");
}

TEST(ImageConfig, FieldsAreRead) {
  const auto config =
      ParseImageConfig(R"({"os":"linux","architecture":"x86_64","created":"2020-01-01T00:00:00Z","config":{
    "User":"1000:1000","Env":["A=b"],"Entrypoint":["/x"],"Cmd":"one string","Volumes":{"/b":{},"/a":{}},"WorkingDir":"/w",
    "Labels":{"k":"v"},"StopSignal":"SIGINT","ExposedPorts":{"80/tcp":{}}},"rootfs":{"type":"layers","diff_ids":[")" +
                       kDigest + R"("]}})");
  ASSERT_TRUE(config) << config.error().Text();
  EXPECT_EQ(config->platform.architecture, "amd64");
  EXPECT_EQ(config->user, "1000:1000");
  EXPECT_THAT(config->cmd, ElementsAre("one string"));
  EXPECT_THAT(config->volumes, ElementsAre("/a", "/b"));
  EXPECT_EQ(config->stop_signal, "SIGINT");
  EXPECT_EQ(config->diff_ids.size(), 1u);
}

TEST(ImageConfig, NullsAreEmpty) {
  const auto config = ParseImageConfig(R"({"config":{"Cmd":null,"Env":null,"Labels":null},"rootfs":{"diff_ids":[]}})");
  ASSERT_TRUE(config) << config.error().Text();
  EXPECT_TRUE(config->cmd.empty());
}

TEST(ImageConfig, WhatIsRefused) {
  EXPECT_FALSE(ParseImageConfig("{}"));
  EXPECT_FALSE(ParseImageConfig(R"({"rootfs":{"type":"other","diff_ids":[]}})"));
  EXPECT_FALSE(ParseImageConfig(R"({"rootfs":{"diff_ids":["sha256:x"]}})"));
  EXPECT_FALSE(ParseImageConfig(R"({"config":{"Env":[1]},"rootfs":{"diff_ids":[]}})"));
}

Descriptor Of(const std::string& os, const std::string& architecture, const std::string& variant = "") {
  Descriptor out;
  out.media_type = kOciManifest;
  out.platform =
      Platform{.os = os, .architecture = architecture, .variant = variant, .os_version = {}, .os_features = {}};
  return out;
}
const Platform kAmd64{.os = "linux", .architecture = "amd64", .variant = "v3", .os_version = {}, .os_features = {}};
const Platform kArm64{.os = "linux", .architecture = "arm64", .variant = "", .os_version = {}, .os_features = {}};

TEST(Platform, BestMatchComesFirst) {
  const std::vector<Descriptor> entries = {Of("linux", "arm64"),        Of("linux", "amd64"),
                                           Of("linux", "386"),          Of("linux", "amd64", "v4"),
                                           Of("linux", "x86_64", "v2"), Of("windows", "amd64")};
  EXPECT_THAT(Candidates(entries, kAmd64), ElementsAre(4, 1, 2));
}

TEST(Platform, Arm64FallsBackToArm) {
  EXPECT_THAT(Candidates({Of("linux", "arm", "v6"), Of("linux", "arm", "v7"), Of("linux", "amd64")}, kArm64),
              ElementsAre(1, 0));
  EXPECT_THAT(Candidates({Of("linux", "arm"), Of("linux", "aarch64", "v8")}, kArm64), ElementsAre(1, 0));
}

TEST(Platform, AttestationsAreNoCandidates) {
  Descriptor unnamed = Of("", "");
  unnamed.platform.reset();
  Descriptor attestation = unnamed;
  attestation.annotations["vnd.docker.reference.type"] = "attestation-manifest";
  EXPECT_THAT(Candidates({Of("unknown", "unknown"), attestation, unnamed, Of("linux", "amd64")}, kAmd64),
              ElementsAre(3, 2));
}

TEST(Platform, FeaturesMustBeThere) {
  Descriptor entry = Of("linux", "amd64");
  entry.platform->os_features = {"sse4"};
  EXPECT_TRUE(Candidates({entry}, kAmd64).empty());
}

TEST(Platform, ThisHostRunsItself) {
  EXPECT_EQ(Rank(HostPlatform(), Acceptable(HostPlatform())), 0);
}

}  // namespace
}  // namespace berth::image
