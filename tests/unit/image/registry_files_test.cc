// Where repositories are looked for, as hosts.toml and registries.conf say, seen from registries on loopback.
#include "image/registry_files.h"

#include <stdlib.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_registry.h"
#include "image/hosts_toml.h"
#include "image/media_type.h"
#include "image/registry.h"
#include "tar_builder.h"

namespace berth::image {
namespace {

using base::Code;
using fake::FakeAnswer;
using fake::FakeRegistry;
using fake::FakeRequest;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class RegistryFilesTest : public testing::Test {
 protected:
  RegistryFilesTest() {
    options_.files = std::make_shared<RegistryFiles>(
        RegistryFiles::Options{{temp_.path() / "certs.d"}, temp_.path() / "registries.conf"});
    options_.first_delay = std::chrono::milliseconds(1);
    options_.longest_delay = std::chrono::milliseconds(5);
    options_.attempts = 1;
    options_.mirror_attempts = 1;
  }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(base::MakeDirs((temp_.path() / name).parent_path()));
    ASSERT_TRUE(base::WriteFile(temp_.path() / name, text));
  }
  // The body of the manifest that comes, or the error.
  std::string Resolve(const std::string& name, const AuthConfig& auth = {}) {
    const auto client = RegistryClient::Make(options_, *Reference::Parse(name), auth, &tokens_);
    if (!client) return client.error().message;
    const auto resolved = (*client)->Resolve({});
    return resolved ? resolved->body : resolved.error().message;
  }
  static std::string Put(FakeRegistry& registry, const std::string& repository, const std::string& text) {
    return registry.AddManifest(repository, "1", text, std::string(kOciManifest)).str();
  }

  TempFolder temp_;
  FakeRegistry first_;
  FakeRegistry second_;
  RegistryOptions options_;
  TokenCache tokens_;
};

TEST_F(RegistryFilesTest, HostsAreAskedInTheFilesOrderWithTheirOriginNamed) {
  Put(second_, "app", "from second");
  Write("certs.d/registry.test:5000/hosts.toml", "server = \"" + second_.url() + "\"\n[host.\"" + first_.url() +
                                                     "/zz\"]\n  capabilities = [\"pull\", \"resolve\"]\n  [host.\"" +
                                                     first_.url() + "/zz\".header]\n    x-team = [\"a\"]\n[host.\"" +
                                                     first_.url() + "/aa\"]\noverride_path = true\n");
  EXPECT_EQ(Resolve("registry.test:5000/app:1"), "from second");
  const auto requests = first_.requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].path, "/zz/v2/app/manifests/1");
  EXPECT_EQ(requests[0].query, "ns=registry.test%3A5000");
  EXPECT_EQ(requests[0].Header("x-team"), "a");
  EXPECT_EQ(requests[1].path, "/aa/app/manifests/1");
  EXPECT_EQ(requests[1].Header("x-team"), "");
}

TEST_F(RegistryFilesTest, FolderNamesWithUnderscoresAndDefaultAreFound) {
  Put(first_, "app", "from first");
  Write("certs.d/registry.test_5000_/hosts.toml", "server = \"" + first_.url() + "\"\n");
  Write("certs.d/_default/hosts.toml", "[host.\"" + second_.url() + "\"]\n");
  Put(second_, "app", "from default");
  EXPECT_EQ(Resolve("registry.test:5000/app:1"), "from first");
  EXPECT_EQ(Resolve("another.test/app:1"), "from default");
}

TEST_F(RegistryFilesTest, HostWithoutResolveIsNotAskedForTags) {
  const std::string digest = Put(first_, "app", "same");
  Put(second_, "app", "same");
  Write("certs.d/registry.test/hosts.toml",
        "server = \"" + second_.url() + "\"\n[host.\"" + first_.url() + "\"]\ncapabilities = [\"pull\"]\n");
  EXPECT_EQ(Resolve("registry.test/app:1"), "same");
  EXPECT_TRUE(first_.requests().empty());
  EXPECT_EQ(Resolve("registry.test/app@" + digest), "same");
  EXPECT_EQ(first_.requests().size(), 1u);
}

TEST_F(RegistryFilesTest, HostWithoutPullGivesTheDigestAlone) {
  Put(first_, "app", "same");
  Put(second_, "app", "same");
  Write("certs.d/registry.test/hosts.toml",
        "server = \"" + second_.url() + "\"\n[host.\"" + first_.url() + "\"]\ncapabilities = [\"resolve\"]\n");
  EXPECT_EQ(Resolve("registry.test/app:1"), "same");
  EXPECT_EQ(first_.Count("HEAD", "/manifests/1"), 1);
  EXPECT_EQ(first_.Count("GET", ""), 0);
  EXPECT_EQ(second_.Count("GET", "/manifests/sha256:"), 1);
  EXPECT_EQ(second_.Count("HEAD", ""), 0);
}

TEST_F(RegistryFilesTest, NamesAreRewrittenAndMirrorsComeFirst) {
  Put(second_, "bar/app", "rewritten");
  Write("registries.conf", "[[registry]]\nprefix = \"example.test/foo\"\nlocation = \"" + second_.host() +
                               "/bar\"\n[[registry.mirror]]\nlocation = \"" + first_.host() + "/mirror\"\n");
  EXPECT_EQ(Resolve("example.test/foo/app:1"), "rewritten");
  EXPECT_EQ(first_.Count("HEAD", "/v2/mirror/app/manifests/1"), 1);
}

TEST_F(RegistryFilesTest, DigestOnlyMirrorsSeeNoTagsAndTagOnlyOnesNoDigests) {
  const std::string digest = Put(second_, "app", "text");
  Write("registries.conf", "[[registry]]\nprefix = \"example.test\"\nlocation = \"" + second_.host() +
                               "\"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = \"" + first_.host() +
                               "/digests\"\n[[registry.mirror]]\nlocation = \"" + first_.host() +
                               "/tags\"\npull-from-mirror = \"tag-only\"\n");
  EXPECT_EQ(Resolve("example.test/app:1"), "text");
  EXPECT_EQ(first_.Count("HEAD", "/tags/"), 1);
  EXPECT_EQ(first_.Count("HEAD", "/digests/") + first_.Count("GET", "/digests/"), 0);
  EXPECT_EQ(Resolve("example.test/app@" + digest), "text");
  EXPECT_EQ(first_.Count("GET", "/digests/"), 1);
  EXPECT_EQ(first_.Count("GET", "/tags/"), 0);
}

TEST_F(RegistryFilesTest, BlockedRegistriesAreNotAsked) {
  Put(first_, "app", "text");
  Write("registries.conf", "[[registry]]\nprefix = \"" + first_.host() + "/app\"\nblocked = true\n");
  EXPECT_THAT(Resolve(first_.host() + "/app:1"), HasSubstr("is blocked in " + temp_.path().native()));
  EXPECT_TRUE(first_.requests().empty());
}

TEST_F(RegistryFilesTest, ChangesHoldAtOnce) {
  Put(first_, "app", "first");
  Put(second_, "app", "second");
  Write("registries.conf", "[[registry]]\nprefix = \"example.test\"\nlocation = \"" + first_.host() + "\"\n");
  EXPECT_EQ(Resolve("example.test/app:1"), "first");
  Write("registries.conf", "[[registry]]\nprefix = \"example.test\"\nlocation = \"" + second_.host() + "\"\n");
  EXPECT_EQ(Resolve("example.test/app:1"), "second");
  Write("registries.conf.d/1.conf", "[[registry]]\nprefix = \"example.test\"\nblocked = true\n");
  EXPECT_THAT(Resolve("example.test/app:1"), HasSubstr("blocked"));
  Write("registries.conf.d/1.conf", "nonsense");
  EXPECT_THAT(Resolve("example.test/app:1"), HasSubstr("1.conf:1"));
  ASSERT_TRUE(base::RemoveFile(temp_.path() / "registries.conf.d/1.conf"));
  EXPECT_EQ(Resolve("example.test/app:1"), "second");
}

TEST_F(RegistryFilesTest, CallersCredentialsGoToTheRegistryWhereverItIsAndToNoMirror) {
  const auto refuse = [](const FakeRequest& request) -> std::optional<FakeAnswer> {
    if (!request.Header("authorization").empty()) return std::nullopt;
    return FakeAnswer{.status = 401, .headers = {{"WWW-Authenticate", "Basic realm=\"x\""}}};
  };
  first_.SetHook(refuse);
  second_.SetHook(refuse);
  Put(second_, "app", "text");
  Write("registries.conf", "[[registry]]\nprefix = \"example.test\"\nlocation = \"" + second_.host() +
                               "\"\n[[registry.mirror]]\nlocation = \"" + first_.host() + "\"\n");
  EXPECT_EQ(Resolve("example.test/app:1", {.username = "u", .password = "p"}), "text");
  for (const FakeRequest& request : first_.requests()) EXPECT_EQ(request.Header("authorization"), "");
}

TEST_F(RegistryFilesTest, ProxyOfTheEnvironmentIsUsedButNotForWhatItExempts) {
  // Whole URLs in the request line: that is what a proxy gets.
  first_.AddManifest("app", "1", "by proxy", std::string(kOciManifest));
  first_.SetHook([](const FakeRequest& request) -> std::optional<FakeAnswer> {
    return FakeAnswer{.headers = {{"Content-Type", std::string(kOciManifest)}}, .body = "proxied " + request.path};
  });
  ASSERT_EQ(setenv("HTTP_PROXY", first_.url().c_str(), 1), 0);
  ASSERT_EQ(setenv("NO_PROXY", "exempt.test", 1), 0);
  Write("registries.conf",
        "[[registry]]\nprefix = \"plain.test\"\ninsecure = true\n[[registry]]\nprefix = \"exempt.test\"\ninsecure = "
        "true\n");
  options_.http.connect_timeout = std::chrono::milliseconds(2000);
  const std::string through = Resolve("plain.test/app:1");
  const std::string past = Resolve("exempt.test/app:1");
  unsetenv("HTTP_PROXY");
  unsetenv("NO_PROXY");
  EXPECT_EQ(through, "proxied http://plain.test/v2/app/manifests/1");
  EXPECT_THAT(past, Not(HasSubstr("proxied")));
}

TEST(HostsToml, EveryKeyIsRead) {
  TempFolder temp;
  const base::Path file = temp.path() / "hosts.toml";
  ASSERT_TRUE(base::WriteFile(file, R"(
server = "registry.example"
[host."https://b.example"]
  ca = ["one.pem", "/two.pem"]
  client = [["c.pem", "c.key"], ["both.pem", ""]]
  skip_verify = true
  dial_timeout = "3s"
[host."a.example/p/v2"]
  client = "c.pem"
[host."localhost:5000"]
)"));
  const auto hosts = LoadHostsToml(file);
  ASSERT_TRUE(hosts) << hosts.error().Text();
  ASSERT_TRUE(hosts->server);
  EXPECT_EQ(hosts->server->url, "https://registry.example");
  ASSERT_EQ(hosts->hosts.size(), 3u);
  const auto& b = hosts->hosts[0];
  EXPECT_EQ(b.url, "https://b.example");
  EXPECT_FALSE(b.whole);
  EXPECT_THAT(b.settings.authorities, ElementsAre(temp.path() / "one.pem", "/two.pem"));
  ASSERT_EQ(b.settings.clients.size(), 2u);
  EXPECT_EQ(b.settings.clients[0].key, temp.path() / "c.key");
  EXPECT_EQ(b.settings.clients[1].key, temp.path() / "both.pem");
  EXPECT_EQ(b.settings.verify, std::optional(false));
  EXPECT_EQ(b.settings.connect_timeout, std::chrono::milliseconds(3000));
  EXPECT_EQ(hosts->hosts[1].url, "https://a.example/p/v2");
  EXPECT_TRUE(hosts->hosts[1].whole);
  EXPECT_EQ(hosts->hosts[1].settings.clients[0].certificate, temp.path() / "c.pem");
  EXPECT_EQ(hosts->hosts[2].url, "http://localhost:5000");
}

TEST(HostsToml, WhatIsWrongIsSaidWithFileAndLine) {
  TempFolder temp;
  const base::Path file = temp.path() / "hosts.toml";
  const auto error = [&](const std::string& text) {
    EXPECT_TRUE(base::WriteFile(file, text));
    const auto hosts = LoadHostsToml(file);
    return hosts ? "accepted" : hosts.error().message;
  };
  EXPECT_THAT(error("server = 1\n"), HasSubstr(file.native() + ":1: server is not a text"));
  EXPECT_THAT(error("[host.\"ftp://x\"]\n"), HasSubstr(":1: \"ftp://x/\" is not a registry's URL"));
  EXPECT_THAT(error("server = \"https://user:hidden@x.y\"\n"),
              AllOf(HasSubstr("\"https://x.y/\" is not a registry's URL"), Not(HasSubstr("hidden"))));
  EXPECT_THAT(error("[host.\"a-registry.of-some-length.example:5000/a/path?query\"]\n"),
              HasSubstr("is not a registry's URL"));
  EXPECT_THAT(error("\n[@x]\n"), HasSubstr(":2: a table without a name"));
  EXPECT_THAT(error("[\n"), HasSubstr(":1: a table without a name"));
  EXPECT_THAT(error("# \u00fc\n[host.\"x\"\u0357]\n"), HasSubstr(":2: only comments may hold"));
  EXPECT_EQ(error("# \u00fc is fine here\nserver = \"https://x\"\n"), "accepted");
  EXPECT_THAT(error("\n[host.\"x.y\"]\ndial_timeout = \"soon\"\n"), HasSubstr(":3: dial_timeout is not a duration"));
  EXPECT_THAT(error("[host.\"x.y\"]\nclient = [[\"a\",\"b\",\"c\"]]\n"), HasSubstr("client is not a list"));
  EXPECT_THAT(error("[host.\"x.y\"]\nskip_verify = 1\n"), HasSubstr("skip_verify is not true or false"));
  EXPECT_THAT(error("[host]\nx = 1\n"), HasSubstr("host is not a table"));
  EXPECT_THAT(error("a = [}one\"]\n"), HasSubstr("not valid TOML"));
}

}  // namespace
}  // namespace berth::image
