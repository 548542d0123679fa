// Signature policies against a real registry: what is signed by the right key comes in, all else stays out.
#include "tests/e2e/harness/fault_proxy.h"
#include "tests/e2e/harness/image_sources.h"
#include "tests/e2e/harness/paths.h"

namespace berth::e2e {
namespace {

using base::Cat;
using base::Path;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class Signature : public ImageSources {
 protected:
  Daemon::Options DaemonOptions() override {
    Daemon::Options options = ImageSources::DaemonOptions();
    options.settings["image.signature_policy"] = In("policy.json");
    return options;
  }
  void SetUp() override {
    if (!base::Exists("/usr/bin/openssl")) GTEST_SKIP() << "openssl is not there";
    ImageSources::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    for (const char* name : {"trusted", "stranger"}) {
      Run("/usr/bin/openssl",
          {"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", In(Cat(name, ".key"))});
      Run("/usr/bin/openssl", {"pkey", "-in", In(Cat(name, ".key")), "-pubout", "-out", In(Cat(name, ".pub"))});
    }
  }
  std::string In(const std::string& name) const { return (folder() / name).string(); }
  // Signatures are wanted for the repositories below `scope`, and for nothing else.
  void WantSignatures(const std::string& scope) {
    Write("policy.json", Cat(R"({"default":[{"type":"insecureAcceptAnything"}],"transports":{"docker":{")", scope,
                             R"(":[{"type":"sigstoreSigned","keyPath":")", In("trusted.pub"), R"("}]}}})"));
  }
  // Each test signs another image: signatures stay in the registry.
  std::string Sign(const std::string& repository, const std::string& tag, const std::string& key,
                   const std::string& place, const std::string& name = {}) {
    return Run("/usr/bin/python3",
               {(ImagesScript().parent_path() / "e2e_sign.py").string(), registry->host(), "e2e/" + repository, tag,
                In(key + ".key"), name.empty() ? Image(repository + ":" + tag) : name, place});
  }
  void ExpectRefused(const std::string& image, const std::string& why) {
    const auto pulled = cri().Pull(image);
    EXPECT_EQ(pulled.code(), grpc::StatusCode::UNKNOWN);
    EXPECT_THAT(pulled.message(), AllOf(StartsWith("SignatureValidationFailed"), HasSubstr(why)));
    EXPECT_FALSE(Listed(image));
    ExpectNoPartsLeft();
  }
};

TEST_F(Signature, UnderItsTagMustBeOfTheRightKey) {
  const std::string image = Image("busybox:zstd");
  WantSignatures(Image("busybox"));
  ExpectRefused(image, "no signature was found");
  Sign("busybox", "zstd", "stranger", "tag");
  ExpectRefused(image, "not by the key");
  Sign("busybox", "zstd", "trusted", "tag", Image("whiteouts:1"));
  ExpectRefused(image, "for the name");
  Sign("busybox", "zstd", "trusted", "tag");
  ASSERT_CALL_OK(cri().Pull(image));
  EXPECT_EQ(OutputOf(image, "cat /zstd"), "zstd\n");
  // Others in the same registry are asked for nothing.
  EXPECT_CALL_OK(cri().Pull(Image("whiteouts:1")));
}

TEST_F(Signature, AmongReferrersMustBeOfTheRightKey) {
  const std::string image = Image("busybox:plain");
  WantSignatures(Image("busybox"));
  Sign("busybox", "plain", "stranger", "referrer");
  ExpectRefused(image, "not by the key");
  Sign("busybox", "plain", "trusted", "referrer");
  ASSERT_CALL_OK(cri().Pull(image));
}

TEST_F(Signature, AmongReferrersOfARegistryThatListsThem) {
  FaultProxy proxy(registry->host());
  const std::string image = proxy.Name("config:1");
  WantSignatures(proxy.Name("config"));
  const std::string digest = Sign("config", "1", "trusted", "referrer", image);
  const std::string list_tag = Cat("sha256-", digest.substr(digest.find(':') + 1));
  // As registries of today have it: a call, and no tag.
  proxy.SetRule(
      [&](const FaultProxy::Request& request, const std::function<FaultProxy::Answer()>& real) -> FaultProxy::Answer {
        if (request.path.ends_with("/manifests/" + list_tag)) return {.status = 404};
        if (request.path != Cat("/v2/e2e/config/referrers/", digest)) return real();
        FaultProxy::Request asked = request;
        asked.path = Cat("/v2/e2e/config/manifests/", list_tag);
        return proxy.Real(asked);
      });
  ASSERT_CALL_OK(cri().Pull(image));
  EXPECT_EQ(proxy.Count("GET", "/referrers/"), 1);
}

TEST_F(Signature, OfAnIndexVouchesForTheImageInIt) {
  WantSignatures(Image("index"));
  ExpectRefused(Image("index:1"), "no signature was found");
  Sign("index", "1", "trusted", "tag");
  ASSERT_CALL_OK(cri().Pull(Image("index:1")));
  EXPECT_EQ(OutputOf(Image("index:1"), "cat /architecture"), "amd64\n");
}

TEST_F(Signature, PolicyThatRejectsOrCannotBeReadLetsNothingIn) {
  Write("policy.json", R"({"default":[{"type":"reject"}]})");
  ExpectRefused(Image("big:1"), "");
  Write("policy.json", "{");
  EXPECT_FALSE(cri().Pull(Image("big:1")).ok());
  EXPECT_FALSE(Listed(Image("big:1")));
}

}  // namespace
}  // namespace berth::e2e
