#include "image/auth_files.h"

#include <signal.h>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "tar_builder.h"

namespace berth::image {
namespace {

using base::Code;
using testing::HasSubstr;
using testing::Not;

class AuthFilesTest : public testing::Test {
 protected:
  // As the daemon does: a helper need not read what it is told.
  void SetUp() override { signal(SIGPIPE, SIG_IGN); }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(base::WriteFile(temp_.path() / name, text));
  }
  void Helper(const std::string& name, const std::string& script) {
    const std::string file = "docker-credential-" + name;
    Write(file, "#!/bin/sh\n" + script);
    ASSERT_EQ(chmod((temp_.path() / file).c_str(), 0755), 0);
  }
  AuthFiles Files(std::vector<base::Path> files = {}) {
    if (files.empty()) files = {temp_.path() / "config.json"};
    return AuthFiles({.files = std::move(files), .helper_timeout = timeout_, .program_folders = {temp_.path()}});
  }
  std::string User(const std::string& host, const std::string& repository, const base::Context& context = {}) {
    const auto found = Files().Find(host, repository, context);
    if (!found) return found.error().message;
    if (!found->identity_token.empty()) return "token " + found->identity_token;
    return found->username.empty() ? base::Base64Decode(found->auth).value_or("?")
                                   : base::Cat(found->username, ":", found->password);
  }
  TempFolder temp_;
  std::chrono::milliseconds timeout_{10'000};
};

std::string Auth(const std::string& pair) {
  return R"({"auth":")" + base::Base64Encode(pair) + "\"}";
}

TEST_F(AuthFilesTest, KeysOfEveryFormAreFoundAndTheLongestPathWins) {
  Write("config.json",
        R"({"auths":{"plain.test":)" + Auth("a:1") + R"(,"port.test:5000":)" + Auth("b:2") +
            R"(,"https://url.test/v2/":)" + Auth("c:3") + R"(,"https://index.docker.io/v1/":)" + Auth("d:4") +
            R"(,"plain.test/team":)" + Auth("e:5") + R"(,"plain.test/team/app":)" + Auth("f:6") +
            R"(,"pair.test":{"username":"g","password":"7"},"token.test":{"auth":"MDA6","identitytoken":"idt"}}})");
  EXPECT_EQ(User("plain.test", "x"), "a:1");
  EXPECT_EQ(User("PLAIN.test", "x"), "a:1");
  EXPECT_EQ(User("port.test:5000", "x"), "b:2");
  EXPECT_EQ(User("port.test", "x"), "");
  EXPECT_EQ(User("url.test", "x"), "c:3");
  EXPECT_EQ(User("docker.io", "library/x"), "d:4");
  EXPECT_EQ(User("plain.test", "team/other"), "e:5");
  EXPECT_EQ(User("plain.test", "team/app"), "f:6");
  EXPECT_EQ(User("plain.test", "team/app/deep"), "f:6");
  EXPECT_EQ(User("plain.test", "teams"), "a:1");
  EXPECT_EQ(User("pair.test", "x"), "g:7");
  EXPECT_EQ(User("token.test", "x"), "token idt");
  EXPECT_EQ(User("none.test", "x"), "");
}

TEST_F(AuthFilesTest, FirstFileThatKnowsDecidesAndMissingOnesAreNone) {
  Write("one", R"({"auths":{"a.test":)" + Auth("one:1") + "}}");
  Write("two", R"({"auths":{"a.test":)" + Auth("two:2") + R"(,"b.test":)" + Auth("two:3") + "}}");
  const AuthFiles files = Files({temp_.path() / "missing", temp_.path() / "one", temp_.path() / "two"});
  EXPECT_EQ(files.Find("a.test", "x", {})->auth, base::Base64Encode("one:1"));
  EXPECT_EQ(files.Find("b.test", "x", {})->auth, base::Base64Encode("two:3"));
  EXPECT_TRUE(files.Find("c.test", "x", {})->empty());
}

TEST_F(AuthFilesTest, HelpersGoBeforeEntriesAndTheStoreAfterThem) {
  Helper(
      "mine",
      R"(read host; [ "$1" = get ] || exit 3; printf '{"ServerURL":"%s","Username":"of %s","Secret":"s"}' "$host" "$host")");
  Helper("store", R"(read host; printf '{"Username":"<token>","Secret":"refresh %s"}' "$host")");
  Write("config.json", R"({"credHelpers":{"a.test":"mine"},"credsStore":"store","auths":{"a.test":)" + Auth("file:1") +
                           R"(,"b.test":)" + Auth("file:2") + "}}");
  EXPECT_EQ(User("a.test", "x"), "of a.test:s");
  EXPECT_EQ(User("b.test", "x"), "file:2");
  EXPECT_EQ(User("c.test", "x"), "token refresh c.test");
  EXPECT_EQ(User("docker.io", "library/x"), "token refresh https://index.docker.io/v1/");
}

TEST_F(AuthFilesTest, HelperThatHasNothingIsNoErrorAndOneThatFailsIs) {
  Helper("empty", "echo 'credentials not found in native keychain'; exit 1");
  Helper("broken", "echo 'vault is locked' >&2; exit 2");
  Helper("talks", "echo 'not json, secret'");
  Write(
      "config.json",
      R"({"credHelpers":{"a.test":"empty","b.test":"broken","c.test":"missing","d.test":"../../bin/sh","e.test":"talks"},"auths":{"a.test":)" +
          Auth("file:1") + "}}");
  EXPECT_EQ(User("a.test", "x"), "file:1");
  EXPECT_THAT(User("b.test", "x"), HasSubstr("docker-credential-broken: exit code 2: vault is locked"));
  EXPECT_THAT(User("c.test", "x"), HasSubstr("docker-credential-missing: not installed"));
  EXPECT_THAT(User("d.test", "x"), HasSubstr("of a name that no program has"));
  EXPECT_THAT(User("e.test", "x"), Not(HasSubstr("secret")));
}

TEST_F(AuthFilesTest, HelperThatHangsIsEndedByItsTimeOrByTheCaller) {
  Helper("slow", "exec sleep 100");
  Write("config.json", R"({"credHelpers":{"a.test":"slow"}})");
  timeout_ = std::chrono::milliseconds(50);
  const auto late = Files().Find("a.test", "x", {});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Code::kFailedPrecondition);
  EXPECT_THAT(late.error().message, HasSubstr("no answer in 50 ms"));
  timeout_ = std::chrono::milliseconds(60'000);
  const base::Context context = base::Context::Make();
  context.Cancel();
  const auto cancelled = Files().Find("a.test", "x", context);
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code, Code::kCancelled);
}

TEST_F(AuthFilesTest, BrokenFilesAreErrorsThatShowNothingOfThem) {
  Write("config.json", R"({"auths":{"a.test":{"auth":"c2VjcmV0)");
  EXPECT_THAT(User("a.test", "x"), HasSubstr("config.json: not valid JSON"));
  EXPECT_THAT(User("a.test", "x"), Not(HasSubstr("c2Vj")));
  Write("config.json", R"({"auths":{"a.test":{"auth":5}}})");
  EXPECT_THAT(User("a.test", "x"), HasSubstr("auth is not a"));
}

}  // namespace
}  // namespace berth::image
