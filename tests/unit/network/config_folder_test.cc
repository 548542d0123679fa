#include "network/config_folder.h"

#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/network/fixtures.h"

namespace berth::network {
namespace {

using testing::HasSubstr;

std::string List(const std::string& name) {
  return base::Cat(R"({"name":")", name, R"(","plugins":[{"type":"t"}]})");
}

struct Case {
  const char* reason;
  std::map<std::string, std::string> files;
  std::string default_network;
  std::string chosen;  // file name; empty: none
  size_t skipped = 0;
};

TEST(ConfigFolderTest, FirstValidFileIsChosen) {
  const Case cases[] = {
      {"sorted by name", {{"20-b.conflist", List("b")}, {"10-a.conflist", List("a")}}, "", "10-a.conflist"},
      {"sorted bytewise", {{"a.conf", List("a")}, {"Z.conf", List("z")}}, "", "Z.conf"},
      {"all three extensions", {{"1.json", List("a")}}, "", "1.json"},
      {"other extensions are left", {{"1.conf.tmp", List("a")}, {"2.conf", List("b")}, {"0", List("c")}}, "", "2.conf"},
      {"an invalid one is skipped", {{"1.conf", "{"}, {"2.conf", List("b")}}, "", "2.conf", 1},
      {"an empty one is skipped", {{"1.conf", ""}, {"2.conf", List("b")}}, "", "2.conf", 1},
      {"by name of the network", {{"1.conf", List("a")}, {"2.conf", List("b")}}, "b", "2.conf", 1},
      {"name not found", {{"1.conf", List("a")}}, "b", "", 1},
      {"none at all", {}, "", ""},
  };
  for (const Case& one : cases) {
    const TempFolder folder;
    for (const auto& [name, text] : one.files) Write(folder.path() / name, text);
    const LoadedConfig loaded = LoadConfigFolder(folder.path(), one.default_network);
    EXPECT_EQ(loaded.file.filename(), one.chosen) << one.reason;
    EXPECT_EQ(loaded.list.has_value(), !one.chosen.empty()) << one.reason;
    EXPECT_EQ(loaded.skipped.size(), one.skipped) << one.reason;
    EXPECT_EQ(loaded.reason.empty(), loaded.list.has_value()) << one.reason;
  }
}

TEST(ConfigFolderTest, MissingFolderIsNoConfiguration) {
  const LoadedConfig loaded = LoadConfigFolder("/nowhere/net.d", "");
  EXPECT_FALSE(loaded.list);
  EXPECT_EQ(loaded.reason, "no CNI configuration file in /nowhere/net.d. Has your network provider started?");
}

TEST(ConfigFolderTest, ReasonNamesTheBrokenFile) {
  const TempFolder folder;
  Write(folder.path() / "10-x.conflist", "{");
  const LoadedConfig loaded = LoadConfigFolder(folder.path(), "");
  EXPECT_THAT(loaded.reason, HasSubstr("Has your network provider started?"));
  EXPECT_THAT(loaded.reason, HasSubstr("10-x.conflist: not valid JSON"));
}

TEST(ConfigFolderTest, FolderAndFifoAreLeft) {
  const TempFolder folder;
  ASSERT_TRUE(base::MakeDirs(folder.path() / "0.conf"));
  ASSERT_EQ(mkfifo((folder.path() / "1.conf").c_str(), 0600), 0);
  Write(folder.path() / "2.conf", List("a"));
  const LoadedConfig loaded = LoadConfigFolder(folder.path(), "");
  EXPECT_EQ(loaded.file.filename(), "2.conf");
  EXPECT_TRUE(loaded.skipped.empty());
}

TEST(ConfigFolderTest, HugeFileIsSkipped) {
  const TempFolder folder;
  Write(folder.path() / "1.conf", std::string(kConfigLimit + 1, ' '));
  Write(folder.path() / "2.conf", List("a"));
  EXPECT_EQ(LoadConfigFolder(folder.path(), "").file.filename(), "2.conf");
}

}  // namespace
}  // namespace berth::network
