// Signature policies, and pulls that they let through or not.
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_registry.h"
#include "image/media_type.h"
#include "image/pull.h"
#include "image/signature_policy.h"
#include "image/store.h"
#include "open_store.h"
#include "tar_builder.h"

namespace berth::image {
namespace {

using fake::FakeImage;
using fake::FakeRegistry;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class Signer {
 public:
  explicit Signer(bool ed25519 = false)
      : key_(ed25519 ? EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")
                     : EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")),
        ed25519_(ed25519) {}
  ~Signer() { EVP_PKEY_free(key_); }
  Signer(const Signer&) = delete;
  Signer& operator=(const Signer&) = delete;

  std::string Pem() const {
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PUBKEY(bio, key_);
    char* text = nullptr;
    const long size = BIO_get_mem_data(bio, &text);
    std::string out(text, static_cast<size_t>(size));
    BIO_free(bio);
    return out;
  }
  std::string Sign(const std::string& text) const {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    EVP_DigestSignInit(context, nullptr, ed25519_ ? nullptr : EVP_sha256(), nullptr, key_);
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    size_t size = 0;
    EVP_DigestSign(context, nullptr, &size, bytes, text.size());
    std::string out(size, '\0');
    EVP_DigestSign(context, reinterpret_cast<unsigned char*>(out.data()), &size, bytes, text.size());
    out.resize(size);
    EVP_MD_CTX_free(context);
    return out;
  }

 private:
  EVP_PKEY* key_;
  bool ed25519_;
};

std::string Payload(const std::string& name, const Digest& digest,
                    const std::string& type = "cosign container image signature") {
  return R"({"critical":{"identity":{"docker-reference":")" + name + R"("},"image":{"docker-manifest-digest":")" +
         digest.str() + R"("},"type":")" + type + "\"},\"optional\":null}";
}

class SignaturePolicyTest : public testing::Test {
 protected:
  base::Path file() const { return temp_.path() / "policy.json"; }
  void Write(const std::string& text) { ASSERT_TRUE(base::WriteFile(file(), text)); }
  void WriteKey(const Signer& signer, const std::string& name = "key.pub") {
    ASSERT_TRUE(base::WriteFile(temp_.path() / name, signer.Pem()));
  }
  std::string Sigstore(const std::string& more = {}) {
    return R"({"type":"sigstoreSigned","keyPath":")" + (temp_.path() / "key.pub").native() + "\"" + more + "}";
  }
  std::string ErrorOf(const std::string& text) {
    Write(text);
    const auto policy = SignaturePolicy::Load(file());
    return policy ? "accepted" : policy.error().message;
  }
  TempFolder temp_;
};

TEST_F(SignaturePolicyTest, MostTellingScopeDecides) {
  Write(R"({"default":[{"type":"reject"}],"transports":{"docker":{
    "":[{"type":"reject"}],
    "a.test":[{"type":"insecureAcceptAnything"}],
    "a.test/team":[{"type":"reject"}],
    "a.test/team/app":[{"type":"insecureAcceptAnything"}],
    "a.test/team/app:bad":[{"type":"reject"}],
    "*.b.test":[{"type":"insecureAcceptAnything"}],
    "docker.io/library":[{"type":"insecureAcceptAnything"}]}}})");
  const auto policy = SignaturePolicy::Load(file());
  ASSERT_TRUE(policy) << policy.error().Text();
  const auto accepts = [&](const char* name) {
    return CheckSignatures(policy->For(*Reference::Parse(name)), {}, *Reference::Parse(name), {}).has_value();
  };
  EXPECT_TRUE(accepts("a.test/x:1"));
  EXPECT_FALSE(accepts("a.test/team/other:1"));
  EXPECT_FALSE(accepts("a.test/team:1"));
  EXPECT_TRUE(accepts("a.test/teams:1"));
  EXPECT_TRUE(accepts("a.test/team/app:1"));
  EXPECT_TRUE(accepts("a.test/team/app/deep:1"));
  EXPECT_FALSE(accepts("a.test/team/app:bad"));
  EXPECT_TRUE(accepts("x.b.test/y:1"));
  EXPECT_TRUE(accepts("z.x.b.test/y:1"));
  EXPECT_FALSE(accepts("b.test/y:1"));
  EXPECT_TRUE(accepts("busybox"));
  EXPECT_FALSE(accepts("docker.io/other/busybox"));
}

TEST_F(SignaturePolicyTest, MissingFileAcceptsAnythingAndABrokenOneNothing) {
  const auto none = SignaturePolicy::Load(file());
  ASSERT_TRUE(none);
  EXPECT_TRUE(CheckSignatures(none->For(*Reference::Parse("x")), {}, *Reference::Parse("x"), {}));
  EXPECT_THAT(ErrorOf("{"), HasSubstr("policy.json"));
  EXPECT_THAT(ErrorOf("{}"), HasSubstr("no default"));
  EXPECT_THAT(ErrorOf(R"({"default":[]})"), HasSubstr("not a list of requirements"));
  EXPECT_THAT(ErrorOf(R"({"default":[{"type":"sigstoreSigned","keyPath":"/none/key"}]})"), HasSubstr("/none/key"));
  EXPECT_THAT(ErrorOf(R"({"default":[{"type":"sigstoreSigned","keyData":"bm90IGEga2V5"}]})"),
              HasSubstr("not a PEM public key"));
}

TEST_F(SignaturePolicyTest, WhatCannotBeMetRejectsItsScopeAlone) {
  Write(
      R"({"default":[{"type":"insecureAcceptAnything"}],"transports":{"docker":{"gpg.test":[{"type":"signedBy","keyType":"GPGKeys"}],
            "fulcio.test":[{"type":"sigstoreSigned","fulcio":{}}]}}})");
  const auto policy = SignaturePolicy::Load(file());
  ASSERT_TRUE(policy) << policy.error().Text();
  const auto check = [&](const char* name) {
    const auto status = CheckSignatures(policy->For(*Reference::Parse(name)), {}, *Reference::Parse(name), {});
    return status ? "accepted" : status.error().message;
  };
  EXPECT_EQ(check("a.test/x"), "accepted");
  EXPECT_THAT(check("gpg.test/x"), HasSubstr("asks for signedBy, which is not supported"));
  EXPECT_THAT(check("fulcio.test/x"), HasSubstr("not supported"));
}

TEST_F(SignaturePolicyTest, SignatureMustBeTheKeysForTheImageUnderItsName) {
  const Signer signer;
  const Signer ed25519(true);
  const Signer other;
  WriteKey(signer);
  const Digest digest = Sha256::Of("image");
  const Reference pulled = *Reference::Parse("a.test/x:1");
  const auto check = [&](const Signer& by, const std::string& payload, const std::string& identity = {},
                         const Reference& reference = *Reference::Parse("a.test/x:1")) {
    Write(R"({"default":[)" + Sigstore(identity.empty() ? "" : R"(,"signedIdentity":)" + identity) + "]}");
    const auto policy = SignaturePolicy::Load(file());
    if (!policy) return policy.error().message;
    const auto status = CheckSignatures(policy->For(reference), {{payload, by.Sign(payload)}}, reference,
                                        {Sha256::Of("index"), digest});
    return status ? std::string("met") : status.error().message;
  };
  EXPECT_EQ(check(signer, Payload("a.test/x:1", digest)), "met");
  EXPECT_THAT(check(other, Payload("a.test/x:1", digest)), HasSubstr("not by the key"));
  EXPECT_THAT(check(signer, Payload("a.test/x:1", Sha256::Of("other"))), HasSubstr("for another image"));
  EXPECT_THAT(check(signer, Payload("a.test/x:1", digest, "something else")), HasSubstr("of another kind"));
  EXPECT_THAT(check(signer, Payload("a.test/y:1", digest)), HasSubstr("for the name \"a.test/y:1\""));
  EXPECT_THAT(check(signer, Payload("a.test/x:2", digest)), HasSubstr("for the name"));
  EXPECT_THAT(check(signer, Payload("a.test/x", digest)), HasSubstr("for the name"));
  EXPECT_THAT(check(signer, "not json"), StartsWith("SignatureValidationFailed: a.test/x:1: "));
  // A digest names what is wanted; the repository is enough.
  const Reference by_digest = *Reference::Parse("a.test/x@" + digest.str());
  EXPECT_EQ(check(signer, Payload("a.test/x", digest), {}, by_digest), "met");
  EXPECT_THAT(check(signer, Payload("a.test/y", digest), {}, by_digest), HasSubstr("for the name"));
  EXPECT_EQ(check(signer, Payload("a.test/x", digest), R"({"type":"matchRepository"})"), "met");
  EXPECT_THAT(check(signer, Payload("a.test/y", digest), R"({"type":"matchRepository"})"), HasSubstr("for the name"));
  EXPECT_EQ(check(signer, Payload("b.test/z:9", digest), R"({"type":"exactReference","dockerReference":"b.test/z:9"})"),
            "met");
  EXPECT_THAT(
      check(signer, Payload("b.test/z:8", digest), R"({"type":"exactReference","dockerReference":"b.test/z:9"})"),
      HasSubstr("for the name"));
  EXPECT_EQ(check(signer, Payload("b.test/z", digest), R"({"type":"exactRepository","dockerRepository":"b.test/z"})"),
            "met");
  EXPECT_EQ(check(signer, Payload("origin.test/x:1", digest),
                  R"({"type":"remapIdentity","prefix":"a.test","signedPrefix":"origin.test"})"),
            "met");
  EXPECT_THAT(check(signer, Payload("a.test/x:1", digest),
                    R"({"type":"remapIdentity","prefix":"a.test","signedPrefix":"origin.test"})"),
              HasSubstr("for the name"));
  EXPECT_THAT(check(signer, Payload("a.test/x:1", digest), R"({"type":"matchExact2"})"), HasSubstr("is not known"));
  WriteKey(ed25519);
  EXPECT_EQ(check(ed25519, Payload("a.test/x:1", digest)), "met");
}

class SignedPullTest : public SignaturePolicyTest {
 protected:
  void SetUp() override {
    store_ = OpenStore(temp_.path() / "images");
    ASSERT_TRUE(store_);
    WriteKey(signer_);
    Write(R"({"default":[)" + Sigstore() + "]}");
    Puller::Options options;
    options.store = store_.get();
    options.registry.signature_policy = file();
    puller_ = std::make_unique<Puller>(options);
    fake::Push(registry_, "app", "1", image_);
  }
  std::string Name() const { return registry_.host() + "/app:1"; }
  std::string Pull() {
    const auto pulled = puller_->Pull(*Reference::Parse(Name()), {}, {});
    return pulled ? "pulled" : pulled.error().message;
  }
  // A manifest in cosign's form; `subject` makes it a referrer.
  std::string SignatureManifest(const Signer& by, const Digest& digest) {
    const std::string payload = Payload(Name(), digest);
    registry_.AddBlob("app", payload);
    return base::Cat(
        R"({"schemaVersion":2,"mediaType":")", kOciManifest, R"(","config":{"mediaType":")", kOciConfig,
        R"(","digest":")", Sha256::Of("{}").str(),
        R"(","size":2},"layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","digest":")",
        Sha256::Of(payload).str(), R"(","size":)", payload.size(),
        R"(,"annotations":{"dev.cosignproject.cosign/signature":")", base::Base64Encode(by.Sign(payload)), "\"}}]}");
  }
  void SignByTag(const Signer& by, const Digest& digest) {
    registry_.AddManifest("app", base::Cat("sha256-", digest.hex(), ".sig"), SignatureManifest(by, digest),
                          std::string(kOciManifest));
  }

  const Signer signer_;
  const FakeImage image_ = fake::MakeImage({fake::Tar({{"a", "x"}})});
  FakeRegistry registry_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Puller> puller_;
};

TEST_F(SignedPullTest, UnsignedImageIsRefusedBeforeAnyLayerIsFetched) {
  EXPECT_THAT(Pull(), StartsWith("SignatureValidationFailed: " + Name() + ": no signature was found"));
  EXPECT_EQ(registry_.Count("GET", Sha256::Of(image_.layers[0]).str()), 0);
  EXPECT_TRUE(store_->List()->empty());
}

TEST_F(SignedPullTest, SignatureUnderItsTagLetsTheImageThrough) {
  SignByTag(Signer(), image_.manifest_digest);
  EXPECT_THAT(Pull(), HasSubstr("not by the key"));
  SignByTag(signer_, image_.manifest_digest);
  EXPECT_EQ(Pull(), "pulled");
  EXPECT_EQ(Pull(), "pulled");
  // What is here is held to the policy as well.
  SignByTag(Signer(), image_.manifest_digest);
  EXPECT_THAT(Pull(), HasSubstr("not by the key"));
  const auto by_digest =
      puller_->Pull(*Reference::Parse(registry_.host() + "/app@" + image_.manifest_digest.str()), {}, {});
  EXPECT_FALSE(by_digest);
}

TEST_F(SignedPullTest, SignatureAmongReferrersLetsTheImageThrough) {
  const std::string manifest = SignatureManifest(signer_, image_.manifest_digest);
  const Digest digest = registry_.AddManifest("app", "", manifest, std::string(kOciManifest));
  const std::string list = base::Cat(R"({"schemaVersion":2,"manifests":[{"mediaType":")", kOciManifest,
                                     R"(","digest":")", digest.str(), R"(","size":)", manifest.size(),
                                     R"(,"artifactType":"application/vnd.dev.cosign.artifact.sig.v1+json"}]})");
  registry_.SetHook([&](const fake::FakeRequest& request) -> std::optional<fake::FakeAnswer> {
    if (request.path != "/v2/app/referrers/" + image_.manifest_digest.str()) return std::nullopt;
    return fake::FakeAnswer{.headers = {{"Content-Type", std::string(kOciIndex)}}, .body = list};
  });
  EXPECT_EQ(Pull(), "pulled");
}

TEST_F(SignedPullTest, SignedIndexVouchesForItsManifests) {
  const std::string index =
      base::Cat(R"({"schemaVersion":2,"manifests":[{"mediaType":")", kOciManifest, R"(","digest":")",
                image_.manifest_digest.str(), R"(","size":)", image_.manifest.size(),
                R"(,"platform":{"os":"linux","architecture":")", HostPlatform().architecture, "\"}}]}");
  const Digest digest = registry_.AddManifest("app", "1", index, std::string(kOciIndex));
  EXPECT_THAT(Pull(), HasSubstr("no signature was found"));
  SignByTag(signer_, digest);
  EXPECT_EQ(Pull(), "pulled");
}

TEST_F(SignedPullTest, RegistryThatIsDownIsNoMissingSignature) {
  SignByTag(signer_, image_.manifest_digest);
  registry_.SetHook([&](const fake::FakeRequest& request) -> std::optional<fake::FakeAnswer> {
    if (request.path.find(".sig") == std::string::npos) return std::nullopt;
    return fake::FakeAnswer{.status = 403};
  });
  EXPECT_THAT(Pull(), Not(StartsWith("SignatureValidationFailed")));
  EXPECT_TRUE(store_->List()->empty());
}

}  // namespace
}  // namespace berth::image
