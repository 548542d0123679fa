#include "image/pull.h"

#include <stdlib.h>

#include <atomic>
#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/strings.h"
#include "fake_registry.h"
#include "image/media_type.h"
#include "image/store.h"
#include "open_store.h"

namespace berth::image {
namespace {

using base::Code;
using fake::FakeAnswer;
using fake::FakeImage;
using fake::FakeRegistry;
using fake::FakeRequest;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class PullTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = "/tmp/berth-pull-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    store_ = OpenStore(folder_ / "images");
    ASSERT_TRUE(store_);
    MakePuller();
  }
  void TearDown() override {
    puller_.reset();
    store_.reset();
    EXPECT_TRUE(base::RemoveTree(folder_));
  }
  void MakePuller() {
    Puller::Options options;
    options.store = store_.get();
    options.registry.first_delay = std::chrono::milliseconds(1);
    options.registry.longest_delay = std::chrono::milliseconds(5);
    puller_ = std::make_unique<Puller>(options);
  }
  base::Result<PullResult> Pull(const std::string& name, const AuthConfig& auth = {},
                                const base::Context& context = {}) {
    return puller_->Pull(*Reference::Parse(registry_.host() + "/" + name), auth, context);
  }
  std::vector<std::string> Names(const std::string& folder) {
    return base::ListFolder(folder_ / "images" / folder).value_or(std::vector<std::string>{});
  }
  void ExpectNothing() {
    puller_.reset();  // waits for pulls that nobody waits for
    EXPECT_THAT(Names("layers"), IsEmpty());
    EXPECT_THAT(Names("tmp"), IsEmpty());
    EXPECT_THAT(Names("records"), IsEmpty());
    EXPECT_TRUE(store_->List()->empty());
  }
  bool InFlightHas(const std::function<bool(const PullProgress&)>& what) {
    for (const PullProgress& progress : puller_->InFlight()) {
      if (what(progress)) return true;
    }
    return false;
  }

  base::Path folder_;
  FakeRegistry registry_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Puller> puller_;
};

const FakeImage kTwoLayers = fake::MakeImage({fake::Tar({{"a", "lower"}, {"b", "same"}}), fake::Tar({{"a", "upper"}})});

TEST_F(PullTest, PulledImageIsListedWithItsNames) {
  fake::Push(registry_, "app", "1", kTwoLayers);
  const auto pulled = Pull("app:1");
  ASSERT_TRUE(pulled) << pulled.error().Text();
  EXPECT_EQ(pulled->image_id, kTwoLayers.config_digest);
  EXPECT_EQ(pulled->digest, kTwoLayers.manifest_digest);
  const auto image = store_->Find(registry_.host() + "/app:1");
  ASSERT_TRUE(image && *image);
  EXPECT_THAT((*image)->repo_tags, ElementsAre(registry_.host() + "/app:1"));
  EXPECT_THAT((*image)->repo_digests, ElementsAre(registry_.host() + "/app@" + kTwoLayers.manifest_digest.str()));
  EXPECT_EQ((*image)->size, kTwoLayers.layers[0].size() + kTwoLayers.layers[1].size() + kTwoLayers.config.size());
  const auto top = store_->LayerFolder((*image)->chain_ids[1]);
  ASSERT_TRUE(top);
  EXPECT_EQ(base::ReadFile(*top / "a").value_or(""), "upper");
  EXPECT_TRUE(puller_->InFlight().empty());
}

TEST_F(PullTest, SecondPullOfAnUnchangedTagCostsOneHead) {
  fake::Push(registry_, "app", "1", kTwoLayers);
  ASSERT_TRUE(Pull("app:1"));
  const size_t before = registry_.requests().size();
  ASSERT_TRUE(Pull("app:1"));
  EXPECT_EQ(registry_.requests().size(), before + 1);
}

TEST_F(PullTest, DigestThatIsHereNeedsNoNetwork) {
  fake::Push(registry_, "app", "1", kTwoLayers);
  ASSERT_TRUE(Pull("app:1"));
  const size_t before = registry_.requests().size();
  const auto again = Pull("app@" + kTwoLayers.manifest_digest.str());
  ASSERT_TRUE(again) << again.error().Text();
  EXPECT_EQ(again->image_id, kTwoLayers.config_digest);
  EXPECT_EQ(registry_.requests().size(), before);
}

TEST_F(PullTest, LayersThatAreHereAreNotFetchedAgain) {
  const FakeImage more = fake::MakeImage({kTwoLayers.tars[0], kTwoLayers.tars[1], fake::Tar({{"c", "new"}})});
  fake::Push(registry_, "app", "1", kTwoLayers);
  fake::Push(registry_, "app", "2", more);
  ASSERT_TRUE(Pull("app:1"));
  ASSERT_TRUE(Pull("app:2"));
  EXPECT_EQ(registry_.Count("GET", Sha256::Of(kTwoLayers.layers[0]).str()), 1);
}

TEST_F(PullTest, IndexGivesThisHostsManifestAndKeepsItsOwnDigest) {
  const FakeImage other = fake::MakeImage({fake::Tar({{"x", "other"}})}, "s390x");
  fake::Push(registry_, "app", "", kTwoLayers);
  fake::Push(registry_, "app", "", other);
  const auto entry = [](const FakeImage& image, const std::string& os, const std::string& architecture) {
    return base::Cat(R"({"mediaType":")", kOciManifest, R"(","digest":")", image.manifest_digest.str(), R"(","size":)",
                     image.manifest.size(), R"(,"platform":{"os":")", os, R"(","architecture":")", architecture,
                     "\"}}");
  };
  const std::string index =
      base::Cat(R"({"schemaVersion":2,"manifests":[)", entry(other, "linux", "s390x"), ",",
                entry(other, "unknown", "unknown"), ",", entry(kTwoLayers, "linux", HostPlatform().architecture), "]}");
  const Digest digest = registry_.AddManifest("app", "1", index, std::string(kOciIndex));
  const auto pulled = Pull("app:1");
  ASSERT_TRUE(pulled) << pulled.error().Text();
  EXPECT_EQ(pulled->image_id, kTwoLayers.config_digest);
  EXPECT_EQ(pulled->digest, digest);

  registry_.AddManifest("app", "2",
                        base::Cat(R"({"schemaVersion":2,"manifests":[)", entry(other, "linux", "s390x"), "]}"),
                        std::string(kOciIndex));
  const auto none = Pull("app:2");
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("no match for platform"));
}

TEST_F(PullTest, ImageForAnotherPlatformIsRefused) {
  fake::Push(registry_, "app", "1", fake::MakeImage({fake::Tar({{"x", "y"}})}, "s390x"));
  const auto pulled = Pull("app:1");
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code, Code::kNotFound);
  ExpectNothing();
}

TEST_F(PullTest, WrongDigestLeavesNothing) {
  fake::Push(registry_, "app", "1", kTwoLayers);
  const std::string upper = Sha256::Of(kTwoLayers.layers[1]).str();
  registry_.SetHook([&](const FakeRequest& request) -> std::optional<FakeAnswer> {
    if (request.path.find(upper) == std::string::npos) return std::nullopt;
    std::string body = kTwoLayers.layers[1];
    body[4] = static_cast<char>(body[4] + 1);  // gzip's time: the content stays the same
    return FakeAnswer{.body = body};
  });
  const auto pulled = Pull("app:1");
  ASSERT_FALSE(pulled);
  EXPECT_THAT(pulled.error().message, HasSubstr("has digest"));
  ExpectNothing();
}

TEST_F(PullTest, WrongDiffIdLeavesNothing) {
  FakeImage image = fake::MakeImage({fake::Tar({{"a", "1"}})});
  const FakeImage other = fake::MakeImage({fake::Tar({{"a", "2"}})});
  // The other's layer under this one's configuration.
  std::string manifest = other.manifest;
  const size_t at = manifest.find(other.config_digest.str());
  manifest.replace(at, other.config_digest.str().size(), image.config_digest.str());
  fake::Push(registry_, "app", "", other);
  registry_.AddBlob("app", image.config);
  registry_.AddManifest("app", "1", manifest, std::string(kOciManifest));
  const auto pulled = Pull("app:1");
  ASSERT_FALSE(pulled);
  EXPECT_THAT(pulled.error().message, HasSubstr("the configuration says"));
  ExpectNothing();
}

TEST_F(PullTest, CancelledPullEndsAndLeavesNothing) {
  fake::Push(registry_, "app", "1", kTwoLayers);
  const std::string upper = Sha256::Of(kTwoLayers.layers[1]).str();
  const base::Context context = base::Context::Make();
  registry_.SetHook([&](const FakeRequest& request) -> std::optional<FakeAnswer> {
    if (request.path.find(upper) == std::string::npos) return std::nullopt;
    context.Cancel();
    return FakeAnswer{.body = kTwoLayers.layers[1], .stall_after = 10};
  });
  const auto pulled = Pull("app:1", {}, context);
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code, Code::kCancelled);
  ExpectNothing();
}

TEST_F(PullTest, CallersDeadlineIsTold) {
  registry_.SetHook([](const FakeRequest&) { return FakeAnswer{.status = 405, .body = "{}", .stall_after = 0}; });
  const auto pulled = Pull("app:1", {}, base::Context().WithTimeout(std::chrono::milliseconds(50)));
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code, Code::kDeadlineExceeded);
}

// Holds the first request of a blob until it is let go.
struct Gate {
  std::promise<void> reached;
  std::promise<void> open;
  std::shared_future<void> opened = open.get_future().share();
  std::atomic<bool> first = true;
  void Pass() {
    if (first.exchange(false)) reached.set_value();
    opened.wait();
  }
};

TEST_F(PullTest, SameReferenceAndCredentialsShareOnePull) {
  fake::Push(registry_, "app", "1", kTwoLayers);
  Gate gate;
  registry_.SetHook([&](const FakeRequest& request) -> std::optional<FakeAnswer> {
    if (request.method == "HEAD") gate.Pass();
    return std::nullopt;
  });
  auto first = std::async(std::launch::async, [&] { return Pull("app:1"); });
  gate.reached.get_future().wait();
  // The first caller's leaving does not end the pull for the second.
  const base::Context leaving = base::Context::Make();
  auto second = std::async(std::launch::async, [&] { return Pull("app:1", {}, leaving); });
  leaving.Cancel();
  EXPECT_FALSE(second.get());
  auto third = std::async(std::launch::async, [&] { return Pull("app:1"); });
  gate.open.set_value();
  EXPECT_TRUE(first.get());
  EXPECT_TRUE(third.get());
  EXPECT_EQ(registry_.Count("GET", Sha256::Of(kTwoLayers.layers[0]).str()), 1);
}

TEST_F(PullTest, OtherCredentialsDoNotJoin) {
  fake::Push(registry_, "app", "1", kTwoLayers);
  Gate gate;
  registry_.SetHook([&](const FakeRequest& request) -> std::optional<FakeAnswer> {
    if (request.Header("authorization") == "Basic " + base::Base64Encode("alice:pw")) {
      if (request.method == "HEAD") gate.Pass();
      return std::nullopt;
    }
    return FakeAnswer{.status = 401, .headers = {{"WWW-Authenticate", "Basic realm=x"}}};
  });
  auto alice = std::async(std::launch::async, [&] { return Pull("app:1", {.username = "alice", .password = "pw"}); });
  gate.reached.get_future().wait();
  const auto bob = Pull("app:1", {.username = "bob", .password = "pw"});
  ASSERT_FALSE(bob);
  EXPECT_EQ(bob.error().code, Code::kUnauthenticated);
  gate.open.set_value();
  EXPECT_TRUE(alice.get());
}

TEST_F(PullTest, LayerOfAnotherPullInFlightIsAwaited) {
  const FakeImage more = fake::MakeImage({kTwoLayers.tars[0], fake::Tar({{"c", "new"}})});
  fake::Push(registry_, "app", "1", kTwoLayers);
  fake::Push(registry_, "app", "2", more);
  const std::string shared = Sha256::Of(kTwoLayers.layers[0]).str();
  const std::string own = Sha256::Of(more.layers[1]).str();
  Gate gate;
  registry_.SetHook([&](const FakeRequest& request) -> std::optional<FakeAnswer> {
    if (request.path.find(shared) != std::string::npos) gate.Pass();
    if (request.path.find(own) != std::string::npos) gate.open.set_value();  // the second pull has its claims by now
    return std::nullopt;
  });
  auto first = std::async(std::launch::async, [&] { return Pull("app:1"); });
  gate.reached.get_future().wait();
  EXPECT_TRUE(InFlightHas(
      [](const PullProgress& progress) { return progress.stage == "layers" && progress.layers.size() == 2; }));
  const auto second = Pull("app:2");
  EXPECT_TRUE(second) << second.error().Text();
  EXPECT_TRUE(first.get());
  EXPECT_EQ(registry_.Count("GET", shared), 1);
}

TEST_F(PullTest, LayerIsFetchedWhenThePullThatBroughtItGivesUp) {
  const FakeImage more = fake::MakeImage({kTwoLayers.tars[0], fake::Tar({{"c", "new"}})});
  fake::Push(registry_, "app", "1", kTwoLayers);
  fake::Push(registry_, "app", "2", more);
  const std::string shared = Sha256::Of(kTwoLayers.layers[0]).str();
  const std::string own = Sha256::Of(more.layers[1]).str();
  const base::Context leaving = base::Context::Make();
  std::promise<void> reached;
  std::atomic<int> calls = 0;
  registry_.SetHook([&](const FakeRequest& request) -> std::optional<FakeAnswer> {
    if (request.path.find(own) != std::string::npos) leaving.Cancel();
    if (request.path.find(shared) == std::string::npos || ++calls > 1) return std::nullopt;
    reached.set_value();
    return FakeAnswer{.body = kTwoLayers.layers[0], .stall_after = 5};
  });
  auto first = std::async(std::launch::async, [&] { return Pull("app:1", {}, leaving); });
  reached.get_future().wait();
  const auto second = Pull("app:2");
  EXPECT_TRUE(second) << second.error().Text();
  EXPECT_FALSE(first.get());
}

TEST_F(PullTest, TagThatMovedLeavesTheOldImageUntagged) {
  fake::Push(registry_, "app", "1", kTwoLayers);
  ASSERT_TRUE(Pull("app:1"));
  fake::Push(registry_, "app", "1", fake::MakeImage({fake::Tar({{"z", "z"}})}));
  ASSERT_TRUE(Pull("app:1"));
  const auto old = store_->Find(kTwoLayers.config_digest.str());
  ASSERT_TRUE(old && *old);
  EXPECT_THAT((*old)->repo_tags, IsEmpty());
  EXPECT_EQ((*old)->repo_digests.size(), 1u);
}

// Short names, by a registries.conf of the test's own.
class PullNameTest : public PullTest {
 protected:
  void SetUp() override {
    PullTest::SetUp();
    Puller::Options options;
    options.store = store_.get();
    options.registry.attempts = 1;
    options.registry.files = std::make_shared<RegistryFiles>(RegistryFiles::Options{{}, folder_ / "registries.conf"});
    puller_ = std::make_unique<Puller>(options);
  }
  void Write(const std::string& text) { ASSERT_TRUE(base::WriteFile(folder_ / "registries.conf", text)); }
  std::string PullName(const std::string& name, const AuthConfig& auth = {}) {
    const auto pulled = puller_->PullName(name, auth, {});
    return pulled ? pulled->image_id.str() : pulled.error().message;
  }
  FakeRegistry second_;
};

TEST_F(PullNameTest, SearchRegistriesAreTriedInTurn) {
  Write("unqualified-search-registries = [\"" + registry_.host() + "\", \"" + second_.host() + "\"]\n");
  fake::Push(second_, "app", "1", kTwoLayers);
  EXPECT_EQ(PullName("app:1"), kTwoLayers.config_digest.str());
  EXPECT_EQ(registry_.Count("HEAD", "/v2/app/manifests/1"), 1);
  const auto image = store_->Find(second_.host() + "/app:1");
  ASSERT_TRUE(image && *image);
  const std::string missing = PullName("none:1");
  EXPECT_THAT(missing, HasSubstr(second_.host() + "/none:1"));
  EXPECT_THAT(missing, HasSubstr("; before that " + registry_.host() + "/none:1"));
}

TEST_F(PullNameTest, CredentialsForAGuessedNameGoToNobodyWhoWasNotNamed) {
  const auto refuse = [](const FakeRequest& request) -> std::optional<FakeAnswer> {
    if (!request.Header("authorization").empty()) return std::nullopt;
    return FakeAnswer{.status = 401, .headers = {{"WWW-Authenticate", "Basic realm=\"x\""}}};
  };
  registry_.SetHook(refuse);
  second_.SetHook(refuse);
  fake::Push(registry_, "app", "1", kTwoLayers);
  fake::Push(second_, "app", "1", kTwoLayers);
  const AuthConfig auth{.username = "u", .password = "p"};
  Write("unqualified-search-registries = [\"" + registry_.host() + "\", \"" + second_.host() + "\"]\n");
  EXPECT_THAT(PullName("app:1", auth), HasSubstr("access denied"));
  for (const FakeRequest& request : registry_.requests()) EXPECT_EQ(request.Header("authorization"), "");
  for (const FakeRequest& request : second_.requests()) EXPECT_EQ(request.Header("authorization"), "");
  AuthConfig named = auth;
  named.server_address = second_.host();
  EXPECT_EQ(PullName("app:1", named), kTwoLayers.config_digest.str());
  for (const FakeRequest& request : registry_.requests()) EXPECT_EQ(request.Header("authorization"), "");
  // An alias is no guess.
  Write("[aliases]\n\"other\" = \"" + registry_.host() + "/app\"\n");
  EXPECT_EQ(PullName("other:1", auth), kTwoLayers.config_digest.str());
}

TEST_F(PullNameTest, IdOfWhatIsHereIsThatImageAndOtherIdsAreNotFound) {
  fake::Push(registry_, "app", "1", kTwoLayers);
  const std::string id = PullName(registry_.host() + "/app:1");
  const size_t before = registry_.requests().size();
  EXPECT_EQ(PullName(id), id);
  EXPECT_EQ(PullName(id.substr(7)), id);
  EXPECT_EQ(registry_.requests().size(), before);
  EXPECT_THAT(PullName("sha256:" + std::string(64, 'a')), HasSubstr("an id alone cannot be pulled"));
}

}  // namespace
}  // namespace berth::image
