#include "image/registry.h"

#include <atomic>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "fake_registry.h"
#include "image/media_type.h"

namespace berth::image {
namespace {

using base::Code;
using fake::FakeAnswer;
using fake::FakeRegistry;
using fake::FakeRequest;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kChallenge = R"(Bearer realm="%R/token",service="svc",scope="repository:app:pull")";

RegistryOptions Fast() {
  RegistryOptions options;
  options.first_delay = std::chrono::milliseconds(1);
  options.longest_delay = std::chrono::milliseconds(5);
  options.http.stall_window = std::chrono::milliseconds(200);
  return options;
}

class RegistryTest : public testing::Test {
 protected:
  std::unique_ptr<RegistryClient> Client(const RegistryOptions& options = Fast(), const AuthConfig& auth = {},
                                         const std::string& tag = "1") {
    auto client = RegistryClient::Make(options, *Reference::Parse(registry_.host() + "/app:" + tag), auth, &tokens_);
    EXPECT_TRUE(client);
    return *std::move(client);
  }
  Descriptor Blob(const std::string& bytes) {
    Descriptor out;
    out.digest = registry_.AddBlob("app", bytes);
    out.size = static_cast<int64_t>(bytes.size());
    return out;
  }
  base::Status Fetch(RegistryClient& client, const Descriptor& blob, const base::Context& context = {}) {
    got_.clear();
    return client.FetchBlob(
        blob,
        [&](std::span<const uint8_t> bytes) {
          got_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
          return base::Status();
        },
        context);
  }
  // Requests tokens as real registries do; the token names who asked.
  void RequireToken() {
    registry_.SetHook([this](const FakeRequest& request) -> std::optional<FakeAnswer> {
      if (request.path == "/token") {
        const std::string who = request.Header("authorization");
        return FakeAnswer{.body = base::Cat(R"({"token":"for-)", who.empty() ? "nobody" : who.substr(6), "\"}")};
      }
      if (request.Header("authorization") == "Bearer " + accepted_) return std::nullopt;
      std::string challenge(kChallenge);
      challenge.replace(challenge.find("%R"), 2, registry_.url());
      return FakeAnswer{.status = 401, .headers = {{"WWW-Authenticate", challenge}}};
    });
  }

  FakeRegistry registry_;
  TokenCache tokens_;
  std::string got_;
  std::string accepted_ = "for-nobody";
};

TEST_F(RegistryTest, TagIsResolvedByHeadAndFetchedByDigest) {
  const Digest digest = registry_.AddManifest("app", "1", "{}", std::string(kOciManifest));
  const auto resolved = Client()->Resolve({});
  ASSERT_TRUE(resolved) << resolved.error().Text();
  EXPECT_EQ(resolved->digest, digest);
  EXPECT_EQ(resolved->media_type, kOciManifest);
  EXPECT_EQ(registry_.Count("HEAD", "/manifests/1"), 1);
  EXPECT_EQ(registry_.Count("GET", "/manifests/" + digest.str()), 1);
}

TEST_F(RegistryTest, KnownDigestIsNotFetched) {
  registry_.AddManifest("app", "1", "{}", std::string(kOciManifest));
  const auto resolved = Client()->Resolve({}, [](const Digest&) { return true; });
  ASSERT_TRUE(resolved);
  EXPECT_TRUE(resolved->body.empty());
  EXPECT_EQ(registry_.Count("GET", "/manifests/"), 0);
}

TEST_F(RegistryTest, HeadThatIsRefusedIsReplacedByGet) {
  registry_.AddManifest("app", "1", "{}", std::string(kOciManifest));
  registry_.SetHook([](const FakeRequest& request) -> std::optional<FakeAnswer> {
    if (request.method == "HEAD") return FakeAnswer{.status = 405};
    return std::nullopt;
  });
  EXPECT_TRUE(Client()->Resolve({}));
}

TEST_F(RegistryTest, ManifestThatIsNotItsDigestIsRefused) {
  const Digest digest = registry_.AddManifest("app", "1", "{}", std::string(kOciManifest));
  registry_.SetHook([](const FakeRequest& request) -> std::optional<FakeAnswer> {
    if (request.method == "GET") return FakeAnswer{.body = "[]"};
    return std::nullopt;
  });
  const auto resolved = Client()->Resolve({});
  ASSERT_FALSE(resolved);
  EXPECT_EQ(resolved.error().code, Code::kUnknown);
}

TEST_F(RegistryTest, MissingTagIsNotFoundAndNamed) {
  const auto resolved = Client()->Resolve({});
  ASSERT_FALSE(resolved);
  EXPECT_EQ(resolved.error().code, Code::kNotFound);
  EXPECT_THAT(resolved.error().message, HasSubstr("/app:1: not found"));
}

TEST_F(RegistryTest, AnonymousTokenIsFetchedOnceForAManifestAndItsBlobs) {
  registry_.AddManifest("app", "1", "{}", std::string(kOciManifest));
  RequireToken();
  auto client = Client();
  ASSERT_TRUE(client->Resolve({}));
  EXPECT_TRUE(Fetch(*client, Blob("data")));
  EXPECT_EQ(registry_.Count("GET", "/token"), 1);
  EXPECT_TRUE(Client()->Resolve({}));
  EXPECT_EQ(registry_.Count("GET", "/token"), 1);
}

TEST_F(RegistryTest, TokenIsNotSharedAcrossCredentials) {
  registry_.AddManifest("app", "1", "{}", std::string(kOciManifest));
  accepted_ = "for-" + base::Base64Encode("alice:pw");
  RequireToken();
  EXPECT_TRUE(Client(Fast(), {.username = "alice", .password = "pw"})->Resolve({}));
  const auto other = Client(Fast(), {.username = "bob", .password = "hidden"})->Resolve({});
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Code::kUnauthenticated);
  EXPECT_THAT(other.error().message, Not(HasSubstr("hidden")));
  EXPECT_FALSE(Client()->Resolve({}));
}

TEST_F(RegistryTest, RefusedTokenIsRenewedOnce) {
  registry_.AddManifest("app", "1", "{}", std::string(kOciManifest));
  RequireToken();
  ASSERT_TRUE(Client()->Resolve({}));
  accepted_ = "something else";
  EXPECT_FALSE(Client()->Resolve({}));
  EXPECT_EQ(registry_.Count("GET", "/token"), 2);
}

TEST_F(RegistryTest, IdentityTokenIsPosted) {
  registry_.AddManifest("app", "1", "{}", std::string(kOciManifest));
  accepted_ = "for-nobody";
  RequireToken();
  EXPECT_TRUE(Client(Fast(), {.identity_token = "a&b"})->Resolve({}));
  ASSERT_EQ(registry_.Count("POST", "/token"), 1);
  for (const FakeRequest& request : registry_.requests()) {
    if (request.method == "POST") {
      EXPECT_THAT(request.body, HasSubstr("grant_type=refresh_token&refresh_token=a%26b"));
    }
  }
}

// A server that knows alice's password and what it gave her for it; each scope wants a token of its own.
class RefreshTest : public RegistryTest {
 protected:
  void SetUp() override {
    registry_.SetHook([this](const FakeRequest& request) -> std::optional<FakeAnswer> {
      if (request.path == "/token") return TokenFor(request);
      if (!request.Header("authorization").empty()) return std::nullopt;
      const std::string path = request.path.substr(4, request.path.find("/manifests") - 4);
      return FakeAnswer{.status = 401,
                        .headers = {{"WWW-Authenticate",
                                     base::Cat("Bearer realm=\"", registry_.url(),
                                               "/token\",service=\"svc\",scope=\"repository:", path, ":pull\"")}}};
    });
  }
  FakeAnswer TokenFor(const FakeRequest& request) {
    const std::string answer = base::Cat(R"({"token":"t","refresh_token":")", given_, "\"}");
    if (request.method == "GET") {
      return request.Header("authorization") == "Basic " + base::Base64Encode("alice:pw") ? FakeAnswer{.body = answer}
                                                                                          : FakeAnswer{.status = 401};
    }
    const bool known = request.body.find("grant_type=refresh_token&refresh_token=" + accepted_ + "&") == 0;
    return known ? FakeAnswer{.body = answer} : FakeAnswer{.status = refusal_};
  }
  bool Resolves(const std::string& repository, const AuthConfig& auth) {
    registry_.AddManifest(repository, "1", "{}", std::string(kOciManifest));
    auto client =
        RegistryClient::Make(Fast(), *Reference::Parse(registry_.host() + "/" + repository + ":1"), auth, &tokens_);
    return (*client)->Resolve({}).has_value();
  }
  const AuthConfig alice_{.username = "alice", .password = "pw"};
  std::string given_ = "first";
  std::string accepted_ = "first";
  int refusal_ = 401;
};

TEST_F(RefreshTest, TokenStandsInForThePasswordAtTheNextScope) {
  EXPECT_TRUE(Resolves("one", alice_));
  EXPECT_EQ(registry_.Count("POST", "/token"), 0);
  given_ = "second";
  EXPECT_TRUE(Resolves("two", alice_));
  EXPECT_EQ(registry_.Count("GET", "/token"), 1);
  EXPECT_EQ(registry_.Count("POST", "/token"), 1);
  accepted_ = "second";  // one that was renewed takes the place of the old one
  EXPECT_TRUE(Resolves("three", alice_));
  EXPECT_EQ(registry_.Count("GET", "/token"), 1);
}

TEST_F(RefreshTest, TokenIsForTheSameCredentialsAlone) {
  EXPECT_TRUE(Resolves("one", alice_));
  EXPECT_FALSE(Resolves("two", {.username = "alice", .password = "other"}));
  EXPECT_FALSE(Resolves("two", {.username = "bob", .password = "pw"}));
  EXPECT_FALSE(Resolves("two", {}));
  EXPECT_EQ(registry_.Count("POST", "/token"), 0);
}

TEST_F(RefreshTest, RefusedTokenIsForgottenAndThePasswordUsedAgain) {
  EXPECT_TRUE(Resolves("one", alice_));
  for (const int status : {400, 401, 403, 404, 405}) {
    refusal_ = status;
    accepted_ = "none";
    EXPECT_TRUE(Resolves(base::Cat("r", status), alice_)) << status;
  }
  EXPECT_EQ(registry_.Count("GET", "/token"), 6);
  EXPECT_EQ(registry_.Count("POST", "/token"), 5);
}

TEST_F(RefreshTest, RefusedIdentityTokenLeavesWhatIsOpenToAll) {
  refusal_ = 400;
  EXPECT_FALSE(Resolves("one", {.identity_token = "stale"}));
  EXPECT_EQ(registry_.Count("GET", "/token"), 1);
}

TEST_F(RegistryTest, BasicCredentialsAnswerABasicChallenge) {
  registry_.AddManifest("app", "1", "{}", std::string(kOciManifest));
  const std::string right = "Basic " + base::Base64Encode("alice:pw");
  registry_.SetHook([&](const FakeRequest& request) -> std::optional<FakeAnswer> {
    if (request.Header("authorization") == right) return std::nullopt;
    return FakeAnswer{.status = 401, .headers = {{"WWW-Authenticate", "Basic realm=\"x\""}}};
  });
  EXPECT_TRUE(Client(Fast(), {.username = "alice", .password = "pw"})->Resolve({}));
  const auto wrong = Client(Fast(), {.username = "alice", .password = "wr0ng"})->Resolve({});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, Code::kUnauthenticated);
  EXPECT_THAT(wrong.error().message, Not(HasSubstr("wr0ng")));
}

TEST_F(RegistryTest, BrokenTransferResumesByRange) {
  const std::string bytes = fake::Noise(1 << 20);
  std::atomic<int> cuts = 0;
  registry_.SetHook([&](const FakeRequest& request) -> std::optional<FakeAnswer> {
    if (request.path.find("/blobs/") == std::string::npos || ++cuts > 1) return std::nullopt;
    return FakeAnswer{.body = bytes, .cut_after = 600'000};
  });
  auto client = Client();
  const base::Status fetched = Fetch(*client, Blob(bytes));
  ASSERT_TRUE(fetched) << fetched.error().Text();
  EXPECT_EQ(got_, bytes);
  EXPECT_THAT(registry_.requests().back().Header("range"), HasSubstr("bytes="));
}

TEST_F(RegistryTest, IgnoredOrRefusedRangeStartsAgainBehindTheSink) {
  const std::string bytes = fake::Noise(1 << 20);
  for (const int status : {200, 416, 206}) {
    std::atomic<int> calls = 0;
    registry_.SetHook([&](const FakeRequest& request) -> std::optional<FakeAnswer> {
      if (++calls == 1) return FakeAnswer{.body = bytes, .cut_after = 600'000};
      if (request.Header("range").empty() || status == 200) return FakeAnswer{.body = bytes};
      return FakeAnswer{.status = status, .headers = {{"Content-Range", "bytes 5-9/10"}}, .body = "wrong"};
    });
    auto client = Client();
    const base::Status fetched = Fetch(*client, Blob(bytes));
    ASSERT_TRUE(fetched) << status << ": " << fetched.error().Text();
    EXPECT_EQ(got_, bytes);
  }
}

TEST_F(RegistryTest, OverloadedRegistryIsAskedAgain) {
  registry_.AddManifest("app", "1", "{}", std::string(kOciManifest));
  std::atomic<int> calls = 0;
  registry_.SetHook([&](const FakeRequest&) -> std::optional<FakeAnswer> {
    const int call = ++calls;
    if (call == 1) return FakeAnswer{.status = 429, .headers = {{"Retry-After", "3600"}}};
    if (call == 2) return FakeAnswer{.status = 500};
    return std::nullopt;
  });
  const auto resolved = Client()->Resolve({});
  EXPECT_TRUE(resolved) << resolved.error().Text();
}

TEST_F(RegistryTest, RegistryThatStaysDownIsUnavailable) {
  registry_.SetHook([](const FakeRequest&) { return FakeAnswer{.status = 503}; });
  const auto resolved = Client()->Resolve({});
  ASSERT_FALSE(resolved);
  EXPECT_EQ(resolved.error().code, Code::kUnavailable);
  EXPECT_EQ(registry_.requests().size(), 5u);
}

TEST_F(RegistryTest, WrongBytesAndWrongLengthsAreRefused) {
  const Descriptor blob = Blob("expected");
  for (const std::string& body : {std::string("unexpect"), std::string("too long by far"), std::string("short")}) {
    registry_.SetHook([&](const FakeRequest&) { return FakeAnswer{.body = body}; });
    auto client = Client();
    const base::Status fetched = Fetch(*client, blob);
    ASSERT_FALSE(fetched) << body;
    EXPECT_EQ(fetched.error().code, Code::kUnknown) << body;
    EXPECT_FALSE(client->TryAgain());
  }
}

TEST_F(RegistryTest, LengthThatIsNeverReachedIsATornTransfer) {
  const Descriptor blob = Blob("expected");
  registry_.SetHook([&](const FakeRequest&) { return FakeAnswer{.body = "expe", .said_length = 8}; });
  auto client = Client();
  const base::Status fetched = Fetch(*client, blob);
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().code, Code::kUnavailable);
}

TEST_F(RegistryTest, MirrorIsAskedFirstWithItsOriginNamed) {
  FakeRegistry mirror;
  mirror.AddManifest("app", "1", "{}", std::string(kOciManifest));
  RegistryOptions options = Fast();
  options.registries[registry_.host()].mirrors = {{.url = mirror.url()}};
  ASSERT_TRUE(Client(options, {.username = "alice", .password = "pw"})->Resolve({}));
  EXPECT_TRUE(registry_.requests().empty());
  EXPECT_THAT(mirror.requests().at(0).query, HasSubstr("ns=127.0.0.1%3A"));
}

TEST_F(RegistryTest, RegistrysCredentialsAreNotForMirrors) {
  FakeRegistry mirror;
  mirror.SetHook([](const FakeRequest&) {
    return FakeAnswer{.status = 401, .headers = {{"WWW-Authenticate", "Basic realm=x"}}};
  });
  registry_.AddManifest("app", "1", "{}", std::string(kOciManifest));
  RegistryOptions options = Fast();
  options.registries[registry_.host()].mirrors = {{.url = mirror.url()}};
  EXPECT_TRUE(Client(options, {.username = "alice", .password = "pw"})->Resolve({}));
  for (const FakeRequest& request : mirror.requests()) EXPECT_EQ(request.Header("authorization"), "");
}

TEST_F(RegistryTest, MirrorThatIsDownOrLiesIsReplacedByTheRegistry) {
  FakeRegistry mirror;
  mirror.SetHook([](const FakeRequest&) { return FakeAnswer{.status = 503}; });
  RegistryOptions options = Fast();
  options.registries[registry_.host()].mirrors = {{.url = mirror.url()}};
  registry_.AddManifest("app", "1", "{}", std::string(kOciManifest));
  auto client = Client(options);
  EXPECT_TRUE(client->Resolve({}));
  EXPECT_TRUE(Fetch(*client, Blob("data")));
  EXPECT_EQ(mirror.requests().size(), 2u);  // its tries of the first request

  mirror.SetHook([](const FakeRequest&) { return FakeAnswer{.body = "lies"}; });
  client = Client(options);
  EXPECT_FALSE(Fetch(*client, Blob("data")));
  EXPECT_TRUE(client->TryAgain());
  EXPECT_TRUE(Fetch(*client, Blob("data")));
  EXPECT_EQ(got_, "data");
}

TEST_F(RegistryTest, CredentialSourceIsAskedForTheHost) {
  registry_.AddManifest("app", "1", "{}", std::string(kOciManifest));
  accepted_ = "for-" + base::Base64Encode("stored:pw");
  RequireToken();
  RegistryOptions options = Fast();
  std::string asked;
  options.credentials = [&](std::string_view host, std::string_view repository,
                            const base::Context&) -> base::Result<AuthConfig> {
    asked = base::Cat(host, " ", repository);
    return AuthConfig{.username = "stored", .password = "pw"};
  };
  EXPECT_TRUE(Client(options)->Resolve({}));
  EXPECT_EQ(asked, registry_.host() + " app");
}

}  // namespace
}  // namespace berth::image
