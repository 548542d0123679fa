#include "image/http.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_registry.h"

namespace berth::image {
namespace {

using fake::FakeAnswer;
using fake::FakeRegistry;
using fake::FakeRequest;
using testing::HasSubstr;
using testing::Not;

HttpRequest Get(const std::string& url, const std::string& authorization = "") {
  HttpRequest request;
  request.url = url;
  request.authorization = authorization;
  return request;
}

TEST(Http, CredentialsAreNotSentAfterRedirectToOtherHost) {
  FakeRegistry storage;
  storage.SetHook([](const FakeRequest&) { return FakeAnswer{.body = "there"}; });
  FakeRegistry registry;
  registry.SetHook([&](const FakeRequest&) {
    return FakeAnswer{.status = 307, .headers = {{"Location", storage.url() + "/blob"}}};
  });
  HttpClient http({});
  const auto response = http.Do(Get(registry.url() + "/x", "Bearer secret"), {});
  ASSERT_TRUE(response) << response.error().Text();
  EXPECT_EQ(response->body, "there");
  EXPECT_EQ(registry.requests().at(0).Header("authorization"), "Bearer secret");
  EXPECT_EQ(storage.requests().at(0).Header("authorization"), "");
}

TEST(Http, CredentialsStayOnTheSameHost) {
  FakeRegistry registry;
  registry.SetHook([](const FakeRequest& request) -> std::optional<FakeAnswer> {
    if (request.path == "/a") return FakeAnswer{.status = 302, .headers = {{"Location", "/b?x=1"}}};
    return FakeAnswer{.body = request.query};
  });
  const auto response = HttpClient({}).Do(Get(registry.url() + "/a", "Bearer secret"), {});
  ASSERT_TRUE(response) << response.error().Text();
  EXPECT_EQ(response->body, "x=1");
  EXPECT_EQ(registry.requests().at(1).Header("authorization"), "Bearer secret");
  EXPECT_THAT(registry.requests().at(1).Header("user-agent"), HasSubstr("berth/"));
}

TEST(Http, EndlessRedirectsEnd) {
  FakeRegistry registry;
  registry.SetHook([](const FakeRequest&) { return FakeAnswer{.status = 302, .headers = {{"Location", "/again"}}}; });
  EXPECT_FALSE(HttpClient({}).Do(Get(registry.url()), {}));
  EXPECT_EQ(registry.requests().size(), 11u);
}

TEST(Http, PlainHttpToOtherHostsIsRefused) {
  const auto response = HttpClient({}).Do(Get("http://registry.example/v2/"), {});
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, base::Code::kFailedPrecondition);
}

TEST(Http, UserInformationInAUrlIsRefused) {
  const auto response = HttpClient({}).Do(Get("http://user:hidden@127.0.0.1:1/"), {});
  ASSERT_FALSE(response);
  EXPECT_THAT(response.error().message, Not(HasSubstr("hidden")));
}

TEST(Http, NobodyListeningIsUnavailable) {
  int port = 0;
  {
    const FakeRegistry gone;
    port = std::stoi(gone.host().substr(gone.host().find(':') + 1));
  }
  const auto response = HttpClient({}).Do(Get(base::Cat("http://127.0.0.1:", port, "/?token=hidden")), {});
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, base::Code::kUnavailable);
  EXPECT_THAT(response.error().message, Not(HasSubstr("hidden")));
}

TEST(Http, StallIsJudgedByRate) {
  FakeRegistry registry;
  registry.SetHook([](const FakeRequest&) { return FakeAnswer{.body = std::string(4096, 'x'), .stall_after = 10}; });
  HttpOptions options;
  options.stall_window = std::chrono::milliseconds(100);
  const auto response = HttpClient(options).Do(Get(registry.url()), {});
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, base::Code::kUnavailable);
  EXPECT_THAT(response.error().message, HasSubstr("stalled"));
}

TEST(Http, CancelEndsATransferThatHangs) {
  FakeRegistry registry;
  const base::Context context = base::Context::Make();
  registry.SetHook([&](const FakeRequest&) {
    context.Cancel();
    return FakeAnswer{.body = "x", .stall_after = 0};
  });
  const auto response = HttpClient({}).Do(Get(registry.url()), context);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, base::Code::kCancelled);
}

TEST(Http, DeadlineEndsATransferThatHangs) {
  FakeRegistry registry;
  registry.SetHook([](const FakeRequest&) { return FakeAnswer{.body = "x", .stall_after = 0}; });
  const auto response =
      HttpClient({}).Do(Get(registry.url()), base::Context().WithTimeout(std::chrono::milliseconds(50)));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, base::Code::kDeadlineExceeded);
}

TEST(Http, BodiesAreBounded) {
  FakeRegistry registry;
  registry.SetHook([](const FakeRequest& request) {
    return FakeAnswer{.status = request.path == "/error" ? 500 : 200, .body = std::string(200'000, 'x')};
  });
  HttpClient http({});
  HttpRequest request = Get(registry.url() + "/large");
  request.body_limit = 100'000;
  const auto large = http.Do(request, {});
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, base::Code::kResourceExhausted);
  const auto error = http.Do(Get(registry.url() + "/error"), {});
  ASSERT_TRUE(error) << error.error().Text();
  EXPECT_EQ(error->body.size(), 65536u);
}

TEST(Http, HeadersAreBoundedAndCleanOnTheWayOut) {
  FakeRegistry registry;
  registry.SetHook([](const FakeRequest&) { return FakeAnswer{.headers = {{"X", std::string(70'000, 'x')}}}; });
  EXPECT_FALSE(HttpClient({}).Do(Get(registry.url()), {}));
  EXPECT_FALSE(HttpClient({}).Do(Get(registry.url(), "Bearer a\r\nX-Injected: b"), {}));
}

TEST(Http, SinksErrorComesBack) {
  FakeRegistry registry;
  registry.SetHook([](const FakeRequest&) { return FakeAnswer{.body = "data"}; });
  HttpRequest request = Get(registry.url());
  request.sink = [](std::span<const uint8_t>) -> base::Status {
    return base::Fail(base::Code::kResourceExhausted, "disk full");
  };
  const auto response = HttpClient({}).Do(request, {});
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, base::Code::kResourceExhausted);
}

TEST(Url, LocationsAreResolvedAgainstTheRequest) {
  EXPECT_EQ(ResolveUrl("https://a/b/c?d", "../e"), "https://a/e");
  EXPECT_EQ(ResolveUrl("https://a/b", "//other/x"), "https://other/x");
  EXPECT_EQ(ResolveUrl("https://a/b", "http://h:81/x?y=1#z"), "http://h:81/x?y=1");
  EXPECT_EQ(ShownUrl("https://a/b?secret=1"), "https://a/b");
  EXPECT_FALSE(Origin::Parse("file:///etc/passwd"));
  EXPECT_TRUE(Origin::Parse("http://127.9.9.9:1/")->loopback());
  EXPECT_TRUE(Origin::Parse("http://[::1]/")->loopback());
  EXPECT_FALSE(Origin::Parse("http://127.0.0.1.example/")->loopback());
  EXPECT_EQ(UrlEncode("repository:a/b:pull &"), "repository%3Aa%2Fb%3Apull%20%26");
}

}  // namespace
}  // namespace berth::image
