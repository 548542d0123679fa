#include "image/auth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"

namespace berth::image {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Challenge, CommasInQuotesBelongToTheValue) {
  const auto list = ParseChallenges(
      R"(Bearer realm="https://auth.example/token?a=1,b=2",service="reg",scope="repository:x:pull,push")");
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].scheme, "bearer");
  EXPECT_EQ(list[0].parameters.at("realm"), "https://auth.example/token?a=1,b=2");
  EXPECT_EQ(list[0].parameters.at("scope"), "repository:x:pull,push");
}

TEST(Challenge, SeveralInOneHeaderAreToldApart) {
  const auto list =
      ParseChallenges(R"(Negotiate abc==, Basic realm="a \"b\"", BEARER Realm = "https://t" , service=plain)");
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[0].scheme, "negotiate");
  EXPECT_EQ(list[1].parameters.at("realm"), "a \"b\"");
  EXPECT_EQ(list[2].scheme, "bearer");
  EXPECT_EQ(list[2].parameters.at("realm"), "https://t");
  EXPECT_EQ(list[2].parameters.at("service"), "plain");
}

TEST(Challenge, BearerIsPreferredToBasic) {
  EXPECT_EQ(ChooseChallenge({R"(Basic realm="x")", R"(Bearer realm="https://t")"})->scheme, "bearer");
  EXPECT_EQ(ChooseChallenge({R"(Basic realm="x", Digest realm="y")"})->scheme, "basic");
  EXPECT_FALSE(ChooseChallenge({"Digest realm=x"}));
  EXPECT_FALSE(ChooseChallenge({}));
}

TEST(Challenge, BrokenHeadersEndTheList) {
  EXPECT_TRUE(ParseChallenges("").empty());
  EXPECT_TRUE(ParseChallenges("\"\"\"").empty());
  EXPECT_EQ(ParseChallenges("Bearer realm=\"open").size(), 1u);
  EXPECT_LE(ParseChallenges(std::string(10000, 'a') + std::string(10000, ',')).size(), 1u);
}

TEST(Credentials, FieldsAreTakenInOrder) {
  AuthConfig config{.username = "u", .password = "p", .auth = "!", .identity_token = "i", .registry_token = "r"};
  auto credentials = CredentialsFor(config, "h");
  ASSERT_TRUE(credentials);
  EXPECT_EQ(credentials->username, "u");
  EXPECT_TRUE(credentials->identity_token.empty());
  config.username.clear();
  EXPECT_EQ(CredentialsFor(config, "h")->identity_token, "i");
  config.identity_token.clear();
  config.auth = base::Base64Encode(std::string("name:pass:word\0\0", 16));
  EXPECT_EQ(CredentialsFor(config, "h")->username, "name");
  EXPECT_EQ(CredentialsFor(config, "h")->password, "pass:word");
  config.auth.clear();
  EXPECT_EQ(CredentialsFor(config, "h")->registry_token, "r");
}

TEST(Credentials, AnotherServersAreNotUsed) {
  AuthConfig config{.username = "u", .password = "p", .server_address = "https://other.example/v1/"};
  EXPECT_TRUE(CredentialsFor(config, "quay.io")->anonymous());
  config.server_address = "https://index.docker.io/v1/";
  EXPECT_FALSE(CredentialsFor(config, "docker.io")->anonymous());
  config.server_address = "host:5000";
  EXPECT_FALSE(CredentialsFor(config, "host:5000")->anonymous());
  EXPECT_TRUE(CredentialsFor(config, "host:5001")->anonymous());
}

TEST(Credentials, BadAuthIsAnErrorThatDoesNotShowIt) {
  for (const std::string& auth : {std::string("c2VjcmV0"), std::string("s3cr3t!")}) {
    const auto credentials = CredentialsFor({.auth = auth}, "h");
    ASSERT_FALSE(credentials);
    EXPECT_THAT(credentials.error().message, Not(HasSubstr(auth)));
  }
}

TEST(Credentials, KeysTellFieldsApart) {
  EXPECT_NE((AuthConfig{.username = "ab", .password = "c"}).Key(),
            (AuthConfig{.username = "a", .password = "bc"}).Key());
  EXPECT_EQ(AuthConfig{}.Key(), "");
  EXPECT_THAT((AuthConfig{.username = "ab", .password = "secret"}).Key(), Not(HasSubstr("secret")));
}

TEST(Token, AccessTokenWinsAndLivesAtLeastAMinute) {
  const base::TimePoint now = base::Monotonic::now();
  const auto token = ParseToken(R"({"token":"a","access_token":"b","expires_in":5})", now);
  ASSERT_TRUE(token);
  EXPECT_EQ(token->value, "b");
  EXPECT_EQ(token->expires, now + std::chrono::seconds(60));
  EXPECT_EQ(ParseToken(R"({"token":"a","expires_in":300})", now)->expires, now + std::chrono::seconds(300));
  EXPECT_FALSE(ParseToken("{}", now));
  EXPECT_FALSE(ParseToken(R"({"token":"a\r\nX: y"})", now));
  EXPECT_FALSE(ParseToken("nonsense", now));
}

TEST(TokenCache, TokenIsNotSharedAcrossCredentials) {
  TokenCache cache;
  const Token token{"t", base::Monotonic::now() + std::chrono::hours(1)};
  cache.Put({"h", "r", "s", "scope", "alice"}, token);
  EXPECT_EQ(cache.Find({"h", "r", "s", "scope", "alice"}), "t");
  EXPECT_FALSE(cache.Find({"h", "r", "s", "scope", "bob"}));
  EXPECT_FALSE(cache.Find({"h", "r", "s", "scope", ""}));
  EXPECT_FALSE(cache.Find({"h", "r", "s", "other", "alice"}));
}

TEST(TokenCache, EndedAndRefusedTokensAreGone) {
  TokenCache cache;
  const TokenKey key{"h", "r", "s", "scope", "c"};
  cache.Put(key, {"old", base::Monotonic::now()});
  EXPECT_FALSE(cache.Find(key));
  cache.Put(key, {"new", base::Monotonic::now() + std::chrono::hours(1)});
  cache.Drop(key, "old");
  EXPECT_TRUE(cache.Find(key));
  cache.Drop(key, "new");
  EXPECT_FALSE(cache.Find(key));
}

}  // namespace
}  // namespace berth::image
