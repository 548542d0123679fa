#include "image/registries_conf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tar_builder.h"

namespace berth::image {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class RegistriesConfTest : public testing::Test {
 protected:
  base::Path file() const { return temp_.path() / "registries.conf"; }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(base::MakeDirs((temp_.path() / name).parent_path()));
    ASSERT_TRUE(base::WriteFile(temp_.path() / name, text));
  }
  RegistriesConf Load() {
    auto conf = LoadRegistriesConf(file());
    EXPECT_TRUE(conf) << conf.error().Text();
    return conf.value_or(RegistriesConf());
  }
  std::string ErrorOf(const std::string& text) {
    Write("registries.conf", text);
    const auto conf = LoadRegistriesConf(file());
    return conf ? "accepted" : conf.error().message;
  }
  static std::vector<std::string> Names(const base::Result<std::vector<Reference>>& references) {
    std::vector<std::string> out;
    if (!references) return {references.error().message};
    for (const Reference& reference : *references) out.push_back(reference.Full());
    return out;
  }
  TempFolder temp_;
};

TEST_F(RegistriesConfTest, NoFileSaysNothing) {
  const RegistriesConf conf = Load();
  EXPECT_TRUE(conf.entries.empty());
  EXPECT_THAT(Names(Candidates(conf, "busybox")), ElementsAre("docker.io/library/busybox:latest"));
}

TEST_F(RegistriesConfTest, LongestPrefixThatEndsAtAComponentWins) {
  Write("registries.conf", R"(
[[registry]]
prefix = "example.com"
location = "one.example"
[[registry]]
prefix = "example.com/foo"
location = "two.example:5000/bar"
[[registry]]
prefix = "*.sub.example"
[[registry]]
location = "plain.example/team"
insecure = true
)");
  const RegistriesConf conf = Load();
  const auto prefix = [&](const char* name) {
    const auto* entry = conf.Match(name);
    return entry == nullptr ? "none" : entry->prefix;
  };
  EXPECT_EQ(prefix("example.com/foo"), "example.com/foo");
  EXPECT_EQ(prefix("example.com/foo/x"), "example.com/foo");
  EXPECT_EQ(prefix("example.com/foobar"), "example.com");
  EXPECT_EQ(prefix("example.com:5000/foo"), "none");
  EXPECT_EQ(prefix("a.sub.example/x"), "*.sub.example");
  EXPECT_EQ(prefix("a.b.sub.example/x"), "*.sub.example");
  EXPECT_EQ(prefix("sub.example/x"), "none");
  EXPECT_EQ(prefix("other/a.sub.example/x"), "none");
  EXPECT_EQ(prefix("plain.example/team/app"), "plain.example/team");
  EXPECT_TRUE(conf.Match("plain.example/team/app")->insecure);
  EXPECT_EQ(Rewrite("example.com/foo/x", "example.com/foo", "two.example:5000/bar"), "two.example:5000/bar/x");
  EXPECT_EQ(Rewrite("a.sub.example/x", "*.sub.example", "new.example/y"), "new.example/y/x");
  EXPECT_EQ(Rewrite("a.sub.example/x", "*.sub.example", ""), "a.sub.example/x");
}

TEST_F(RegistriesConfTest, DropInsReplaceEntriesAndAddAliasesInTheOrderOfTheirNames) {
  Write("registries.conf", R"(
unqualified-search-registries = ["one.example"]
[[registry]]
prefix = "example.com"
blocked = true
[aliases]
"a" = "one.example/a"
"b" = "one.example/b"
)");
  Write("registries.conf.d/20.conf", "unqualified-search-registries = [\"three.example\"]\n[aliases]\n\"b\" = \"\"\n");
  Write("registries.conf.d/10.conf", R"(
unqualified-search-registries = ["two.example"]
[[registry]]
prefix = "example.com"
location = "elsewhere.example"
[[registry.mirror]]
location = "mirror.example/x"
pull-from-mirror = "digest-only"
)");
  Write("registries.conf.d/30.conf.off", "nonsense");
  const RegistriesConf conf = Load();
  EXPECT_THAT(conf.search, ElementsAre("three.example"));
  ASSERT_EQ(conf.entries.size(), 1u);
  EXPECT_FALSE(conf.entries[0].blocked);
  ASSERT_EQ(conf.entries[0].mirrors.size(), 1u);
  EXPECT_EQ(conf.entries[0].mirrors[0].from, RegistriesConf::Mirror::From::kDigestOnly);
  EXPECT_TRUE(conf.aliases.contains("a"));
  EXPECT_FALSE(conf.aliases.contains("b"));
}

TEST_F(RegistriesConfTest, ShortNamesMeanTheirAliasThenTheSearchRegistries) {
  Write("registries.conf", R"(
unqualified-search-registries = ["one.example:5000", "docker.io"]
[aliases]
"fedora" = "registry.example/fedora/fedora"
"team/app" = "registry.example/team/app"
)");
  RegistriesConf conf = Load();
  const std::string digest = "sha256:" + std::string(64, 'a');
  EXPECT_THAT(Names(Candidates(conf, "fedora")), ElementsAre("registry.example/fedora/fedora:latest"));
  EXPECT_THAT(Names(Candidates(conf, "fedora:40")), ElementsAre("registry.example/fedora/fedora:40"));
  EXPECT_THAT(Names(Candidates(conf, "fedora:40@" + digest)), ElementsAre("registry.example/fedora/fedora@" + digest));
  EXPECT_THAT(Names(Candidates(conf, "team/app:1")), ElementsAre("registry.example/team/app:1"));
  EXPECT_THAT(Names(Candidates(conf, "busybox:1")),
              ElementsAre("one.example:5000/busybox:1", "docker.io/library/busybox:1"));
  EXPECT_THAT(Names(Candidates(conf, "localhost/busybox:1")), ElementsAre("localhost/busybox:1"));
  EXPECT_THAT(Names(Candidates(conf, "docker.io/fedora")), ElementsAre("docker.io/library/fedora:latest"));
  conf.mode = RegistriesConf::ShortNameMode::kEnforcing;
  EXPECT_THAT(Names(Candidates(conf, "busybox")), ElementsAre(HasSubstr("short-name-mode is enforcing")));
  EXPECT_THAT(Names(Candidates(conf, "fedora")), ElementsAre("registry.example/fedora/fedora:latest"));
  conf.search = {"one.example"};
  EXPECT_THAT(Names(Candidates(conf, "busybox")), ElementsAre("one.example/busybox:latest"));
  EXPECT_FALSE(Candidates(conf, "Not A Name"));
}

TEST_F(RegistriesConfTest, OldFormIsRead) {
  Write("registries.conf", R"(
[registries.search]
registries = ["a.example", "b.example"]
[registries.insecure]
registries = ["c.example:5000"]
[registries.block]
registries = ["d.example", "c.example:5000"]
)");
  const RegistriesConf conf = Load();
  EXPECT_THAT(conf.search, ElementsAre("a.example", "b.example"));
  EXPECT_TRUE(conf.Match("c.example:5000/x")->insecure);
  EXPECT_TRUE(conf.Match("c.example:5000/x")->blocked);
  EXPECT_TRUE(conf.Match("d.example/x")->blocked);
}

TEST_F(RegistriesConfTest, WhatIsWrongIsSaidWithFileAndLine) {
  const std::string at = file().native() + ":";
  EXPECT_THAT(ErrorOf("\nshort-name-mode = \"sometimes\"\n"), HasSubstr(at + "2: short-name-mode is not enforcing"));
  EXPECT_THAT(ErrorOf("a = [\n"), HasSubstr(at));
  EXPECT_THAT(ErrorOf("[[registry]]\nprefix = 5\n"), HasSubstr(at + "2: prefix is not a text"));
  EXPECT_THAT(ErrorOf("[[registry]]\nblocked = \"yes\"\nprefix=\"a.b\"\n"), HasSubstr("blocked is not true or false"));
  EXPECT_THAT(ErrorOf("[[registry]]\ninsecure = true\n"), HasSubstr("prefix is not host"));
  EXPECT_THAT(ErrorOf("[[registry]]\nprefix = \"https://a.b\"\n"), HasSubstr("prefix is not host"));
  EXPECT_THAT(ErrorOf("[[registry]]\nprefix = \"a.*.b\"\n"), HasSubstr("prefix is not host"));
  EXPECT_THAT(ErrorOf("[[registry]]\nprefix = \"a.b\"\n[[registry.mirror]]\nlocation = \"x y\"\n"),
              HasSubstr(":4: location is not host"));
  EXPECT_THAT(
      ErrorOf("[[registry]]\nprefix = \"a.b\"\n[[registry.mirror]]\nlocation = \"x\"\npull-from-mirror = \"never\"\n"),
      HasSubstr("pull-from-mirror"));
  EXPECT_THAT(ErrorOf("[aliases]\n\"a\" = \"b\"\n"), HasSubstr(":2: alias a does not stand for a full name"));
  EXPECT_THAT(ErrorOf("unqualified-search-registries = 3\n"), HasSubstr("is not a list of texts"));
}

}  // namespace
}  // namespace berth::image
