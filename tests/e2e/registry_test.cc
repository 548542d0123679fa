// Real registries that want to know who asks, and registries that misbehave on the way.
#include <atomic>
#include <thread>

#include "tests/e2e/harness/fault_proxy.h"
#include "tests/e2e/harness/image_sources.h"
#include "tests/e2e/harness/token_server.h"

namespace berth::e2e {
namespace {

using base::Cat;
using base::Path;
using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

// docker-registry with a token server.
class RegistryToken : public ImageSources {
 protected:
  void SetUp() override {
    if (!base::Exists("/usr/bin/openssl")) GTEST_SKIP() << "openssl is not there";
    ImageSources::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    MakeCertificate("issuer", "DNS:issuer.invalid");
    tokens_ = std::make_unique<TokenServer>(TokenServer::Options{
        .certificate = folder() / "issuer.pem", .key = folder() / "issuer.key", .users = {{"alice", "pw-of-alice"}}});
    const int port = Registry::FreePort();
    auto started = Registry::Start(
        {.folder = folder() / "private", .port = port, .data = registry->data(), .auth = tokens_->AuthSection()});
    ASSERT_TRUE(started) << started.error().Text();
    private_ = *std::move(started);
  }
  void TearDown() override {
    private_.reset();
    tokens_.reset();
    ImageSources::TearDown();
  }
  Reply<v1::PullImageResponse> PullWithIdentity(const std::string& image, const std::string& token) {
    v1::PullImageRequest request;
    request.mutable_image()->set_image(image);
    request.mutable_auth()->set_identity_token(token);
    return cri().Call(&v1::ImageService::Stub::PullImage, request);
  }

  std::unique_ptr<TokenServer> tokens_;
  std::unique_ptr<Registry> private_;
};

TEST_F(RegistryToken, IsGivenToThoseWithThePasswordAlone) {
  ASSERT_CALL_OK(PullAs(private_->Name("busybox:zstd"), "alice", "pw-of-alice"));
  EXPECT_EQ(OutputOf(private_->Name("busybox:zstd"), "cat /zstd"), "zstd\n");
  for (const auto& refused :
       {cri().Pull(private_->Name("busybox:plain")), PullAs(private_->Name("busybox:plain"), "alice", "wr0ng"),
        PullAs(private_->Name("busybox:plain"), "bob", "pw-of-alice")}) {
    EXPECT_EQ(refused.code(), grpc::StatusCode::UNAUTHENTICATED) << refused.message();
    EXPECT_THAT(refused.message(), AllOf(Not(HasSubstr("wr0ng")), Not(HasSubstr("pw-of-alice"))));
  }
  EXPECT_FALSE(Listed(private_->Name("busybox:plain")));
  ExpectNoPartsLeft();
}

TEST_F(RegistryToken, OneIsEnoughForAllRequestsOfARepositoryAndItsRefreshTokenForOthers) {
  ASSERT_CALL_OK(PullAs(private_->Name("busybox:zstd"), "alice", "pw-of-alice"));
  ASSERT_CALL_OK(PullAs(private_->Name("busybox:plain"), "alice", "pw-of-alice"));
  EXPECT_EQ(tokens_->with_password(), 1);
  ASSERT_CALL_OK(PullAs(private_->Name("whiteouts:1"), "alice", "pw-of-alice"));
  EXPECT_EQ(tokens_->with_password(), 1);
  EXPECT_EQ(tokens_->with_refresh(), 1);
  // Others gain nothing by it.
  EXPECT_FALSE(cri().Pull(private_->Name("config:1")).ok());
  EXPECT_FALSE(PullAs(private_->Name("config:1"), "alice", "wr0ng").ok());
  EXPECT_EQ(tokens_->with_refresh(), 1);
  // One that is no longer taken costs the password again.
  tokens_->ForgetRefreshTokens();
  ASSERT_CALL_OK(PullAs(private_->Name("config:1"), "alice", "pw-of-alice"));
  EXPECT_EQ(tokens_->with_refresh(), 2);
  // It was in memory alone.
  Restart();
  ASSERT_CALL_OK(PullAs(private_->Name("index:1"), "alice", "pw-of-alice"));
  EXPECT_EQ(tokens_->with_refresh(), 2);
  const std::string secret = "refresh-";
  EXPECT_THAT(daemon().Log(64 << 20), Not(HasSubstr(secret)));
}

TEST_F(RegistryToken, IdentityTokenIsOneToRefreshWith) {
  ASSERT_CALL_OK(PullAs(private_->Name("busybox:zstd"), "alice", "pw-of-alice"));
  const std::string identity = tokens_->last_refresh_token();
  ASSERT_CALL_OK(PullWithIdentity(private_->Name("whiteouts:1"), identity));
  EXPECT_EQ(tokens_->with_password(), 1);
  const auto refused = PullWithIdentity(private_->Name("config:1"), "0dd-identity");
  EXPECT_EQ(refused.code(), grpc::StatusCode::UNAUTHENTICATED) << refused.message();
  EXPECT_THAT(refused.message(), Not(HasSubstr("0dd-identity")));
}

// docker-registry that wants a certificate of its clients.
class RegistryTls : public ImageSources {
 protected:
  void SetUp() override {
    if (!base::Exists("/usr/bin/openssl")) GTEST_SKIP() << "openssl is not there";
    ImageSources::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    MakeCertificate("server", "IP:127.0.0.1");
    MakeCertificate("client", "DNS:client.invalid");
    MakeCertificate("stranger", "DNS:stranger.invalid");
    const int port = Registry::FreePort();
    auto started = Registry::Start({.folder = folder() / "private",
                                    .port = port,
                                    .data = registry->data(),
                                    .http = Cat("tls: {certificate: ", In("server.pem"), ", key: ", In("server.key"),
                                                ", clientcas: [", In("client.pem"), "]}")});
    ASSERT_TRUE(started) << started.error().Text();
    private_ = *std::move(started);
  }
  void TearDown() override {
    private_.reset();
    ImageSources::TearDown();
  }
  std::string In(const std::string& name) const { return (folder() / name).string(); }
  std::string Text(const std::string& name) const { return base::ReadFile(folder() / name).value_or(""); }

  std::unique_ptr<Registry> private_;
};

TEST_F(RegistryTls, ClientCertificateOfTheFolderIsShown) {
  const std::string place = Cat("certs.d/", private_->host());
  Write(place + "/ca.crt", Text("server.pem"));
  const auto bare = cri().Pull(private_->Name("busybox:zstd"));
  EXPECT_FALSE(bare.ok());
  EXPECT_THAT(bare.message(), HasSubstr("certificate"));
  Write(place + "/client.cert", Text("stranger.pem"));
  Write(place + "/client.key", Text("stranger.key"));
  EXPECT_FALSE(cri().Pull(private_->Name("busybox:zstd")).ok());
  Write(place + "/client.cert", Text("client.pem"));
  Write(place + "/client.key", Text("client.key"));
  ASSERT_CALL_OK(cri().Pull(private_->Name("busybox:zstd")));
  EXPECT_EQ(OutputOf(private_->Name("busybox:zstd"), "cat /zstd"), "zstd\n");
  ASSERT_STATUS_OK(base::RemoveFile(folder() / (place + "/client.key")));
  EXPECT_THAT(cri().Pull(private_->Name("busybox:plain")).message(), HasSubstr("has no key"));
}

TEST_F(RegistryTls, ClientCertificateOfHostsTomlIsShown) {
  Write("certs.d/tls.invalid/hosts.toml",
        Cat("server = \"https://", private_->host(), "\"\nca = \"", In("server.pem"), "\"\nclient = [[\"",
            In("client.pem"), "\", \"", In("client.key"), "\"]]\n"));
  ASSERT_CALL_OK(cri().Pull("tls.invalid/e2e/busybox:plain"));
  EXPECT_EQ(OutputOf("tls.invalid/e2e/busybox:plain", "cat /plain"), "plain\n");
  Write("certs.d/tls.invalid/hosts.toml",
        Cat("server = \"https://", private_->host(), "\"\nca = \"", In("stranger.pem"), "\"\nclient = [[\"",
            In("client.pem"), "\", \"", In("client.key"), "\"]]\n"));
  EXPECT_FALSE(cri().Pull("tls.invalid/e2e/busybox:zstd").ok());
}

class RegistryFaults : public ImageSources {
 protected:
  using Request = FaultProxy::Request;
  using Answer = FaultProxy::Answer;
  using Real = std::function<Answer()>;

  Daemon::Options DaemonOptions() override {
    Daemon::Options options = ImageSources::DaemonOptions();
    options.settings["image.stall_window"] = "5s";
    options.settings["image.attempts"] = "3";
    return options;
  }
  void SetUp() override {
    ImageSources::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    proxy_ = std::make_unique<FaultProxy>(registry->host());
  }
  void TearDown() override {
    proxy_.reset();
    ImageSources::TearDown();
  }
  static bool IsBlob(const Request& request) { return request.path.find("/blobs/") != std::string::npos; }
  static bool IsManifest(const Request& request) { return request.path.find("/manifests/") != std::string::npos; }
  // Breaks the first `times` answers that carry the large layer or its rest.
  void BreakLargeLayer(int times, const std::function<void(Answer&)>& fault) {
    proxy_->SetRule([this, times, fault](const Request& request, const Real& real) {
      Answer answer = real();
      if (IsBlob(request) && answer.body.size() > 1 << 20 && broken_++ < times) fault(answer);
      return answer;
    });
  }
  // "big:1" came through in spite of all.
  void ExpectPulled() {
    ASSERT_CALL_OK(cri().Pull(proxy_->Name("big:1")));
    EXPECT_EQ(OutputOf(proxy_->Name("big:1"), "stat -c %s /noise"), "25165824\n");
    ExpectNoPartsLeft();
  }
  void ExpectRefused(const testing::Matcher<std::string>& message) {
    const auto pulled = cri().Pull(proxy_->Name("big:1"));
    EXPECT_FALSE(pulled.ok());
    EXPECT_THAT(pulled.message(), message);
    EXPECT_FALSE(Listed(proxy_->Name("big:1")));
    ExpectNoPartsLeft();
  }
  std::vector<std::string> Ranges() const {
    std::vector<std::string> out;
    for (const Request& request : proxy_->requests()) {
      if (std::string range = request.Header("range"); !range.empty()) out.push_back(std::move(range));
    }
    return out;
  }

  std::unique_ptr<FaultProxy> proxy_;
  std::atomic<int> broken_ = 0;
};

TEST_F(RegistryFaults, StalledAndResetTransfersGoOnWhereTheyBroke) {
  BreakLargeLayer(3, [n = 0](Answer& answer) mutable {
    if (n++ == 1) {
      answer.stall_after = 3 << 20;
    } else {
      answer.cut_after = 2 << 20;
    }
  });
  ExpectPulled();
  ASSERT_GE(Ranges().size(), 3u);
  EXPECT_THAT(Ranges().front(), Not(StartsWith("bytes=0-")));
}

TEST_F(RegistryFaults, LengthThatIsNeverReachedIsATornTransfer) {
  BreakLargeLayer(1, [](Answer& answer) {
    answer.said_length = answer.body.size();
    answer.body.resize(5 << 20);
  });
  ExpectPulled();
  EXPECT_EQ(Ranges().size(), 1u);
}

TEST_F(RegistryFaults, LengthThatTheManifestDoesNotSayIsRefused) {
  BreakLargeLayer(1000, [](Answer& answer) { answer.body += "more"; });
  ExpectRefused(HasSubstr("the manifest says"));
}

TEST_F(RegistryFaults, WrongBytesAreRefused) {
  BreakLargeLayer(1000, [](Answer& answer) { answer.body[answer.body.size() / 2] ^= 1; });
  ExpectRefused(AllOf(HasSubstr("what was served has digest"), Not(StartsWith("RegistryUnavailable"))));
}

TEST_F(RegistryFaults, WrongManifestIsRefused) {
  proxy_->SetRule([](const Request& request, const Real& real) {
    Answer answer = real();
    if (IsManifest(request) && request.method == "GET") answer.body += " ";
    return answer;
  });
  ExpectRefused(HasSubstr("what was served has digest"));
}

TEST_F(RegistryFaults, HugeManifestIsRefused) {
  proxy_->SetRule([](const Request& request, const Real& real) {
    if (IsManifest(request) && request.method == "HEAD") return Answer{.status = 405};
    Answer answer = real();
    if (IsManifest(request)) answer.body.append(5 << 20, ' ');
    return answer;
  });
  ExpectRefused(Not(IsEmpty()));
}

TEST_F(RegistryFaults, TooManyRequestsAreWaitedForAsLongAsTheRegistrySays) {
  std::atomic<int64_t> refused_at = 0;
  std::atomic<int64_t> back_after_ms = 0;
  const auto now = [] { return base::Monotonic::now().time_since_epoch() / milliseconds(1); };
  proxy_->SetRule([&](const Request& request, const Real& real) {
    if (!IsManifest(request)) return real();
    if (refused_at == 0) {
      refused_at = now();
      return Answer{.status = 429, .headers = {{"Retry-After", "2"}}};
    }
    if (back_after_ms == 0) back_after_ms = now() - refused_at;
    return real();
  });
  ExpectPulled();
  EXPECT_GE(back_after_ms, 2000);
}

TEST_F(RegistryFaults, ErrorsOfTheServerAreTriedAgainAndThenTold) {
  std::atomic<int> errors = 0;
  proxy_->SetRule([&](const Request&, const Real& real) { return ++errors % 2 ? Answer{.status = 500} : real(); });
  ExpectPulled();
  ASSERT_CALL_OK(cri().RemoveImage(proxy_->Name("big:1")));
  proxy_->SetRule([](const Request&, const Real&) { return Answer{.status = 503}; });
  ExpectRefused(StartsWith("RegistryUnavailable"));
  // What the registry says for itself is told.
  proxy_->SetRule([](const Request& request, const Real&) {
    if (request.method == "HEAD") return Answer{.status = 405};
    return Answer{.status = 403, .body = R"({"errors":[{"code":"DENIED","message":"no more today"}]})"};
  });
  ExpectRefused(HasSubstr("no more today"));
}

TEST_F(RegistryFaults, PasswordStaysWithTheRegistryThatRedirects) {
  FaultProxy storage(registry->host());
  proxy_->SetRule([&](const Request& request, const Real& real) {
    if (request.Header("authorization").empty()) {
      return Answer{.status = 401, .headers = {{"WWW-Authenticate", "Basic realm=\"e2e\""}}};
    }
    if (!IsBlob(request)) return real();
    return Answer{.status = 307,
                  .headers = {{"Location", Cat("http://", storage.host(), request.path, "?signed=yes")}}};
  });
  ASSERT_CALL_OK(PullAs(proxy_->Name("big:1"), "alice", "pw-of-alice"));
  EXPECT_EQ(OutputOf(proxy_->Name("big:1"), "stat -c %s /noise"), "25165824\n");
  EXPECT_FALSE(storage.requests().empty());
  for (const Request& request : storage.requests()) {
    EXPECT_EQ(request.Header("authorization"), "");
    EXPECT_EQ(request.query, "signed=yes");
  }
}

TEST_F(RegistryFaults, RedirectsInACircleEnd) {
  proxy_->SetRule([&](const Request& request, const Real& real) {
    return IsBlob(request) ? Answer{.status = 302, .headers = {{"Location", request.path}}} : real();
  });
  ExpectRefused(HasSubstr("redirects"));
}

}  // namespace
}  // namespace berth::e2e
