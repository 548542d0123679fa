#include "network/config_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/network/fixtures.h"

namespace berth::network {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ConfigListTest, ReadsListWithItsPlugins) {
  const auto list =
      ParseConfigList(R"({"cniVersion":"1.0.0","name":"pods","disableCheck":true,"disableGC":"true","plugins":[
      {"type":"bridge","mtu":1400},{"type":"portmap","capabilities":{"portMappings":true,"mac":false}}]})",
                      "f");
  ASSERT_TRUE(list) << list.error().Text();
  EXPECT_EQ(list->name, "pods");
  EXPECT_EQ(list->version, "1.0.0");
  EXPECT_TRUE(list->disable_check);
  EXPECT_TRUE(list->disable_gc);
  ASSERT_EQ(list->plugins.size(), 2u);
  EXPECT_EQ(list->plugins[0].json, R"({"mtu":1400,"type":"bridge"})");
  EXPECT_THAT(list->plugins[1].capabilities, ElementsAre("portMappings"));
}

TEST(ConfigListTest, LonePluginBecomesListOfOne) {
  const auto list = ParseConfigList(R"({"cniVersion":"0.3.1","name":"one","type":"bridge","mtu":9000})", "f");
  ASSERT_TRUE(list) << list.error().Text();
  EXPECT_EQ(list->version, "0.3.1");
  ASSERT_EQ(list->plugins.size(), 1u);
  EXPECT_THAT(list->plugins[0].json, HasSubstr("9000"));
}

TEST(ConfigListTest, TextParsesToTheSameList) {
  const auto list = ParseConfigList(R"({"cniVersion":"0.3.1","name":"one","type":"bridge"})", "f");
  ASSERT_TRUE(list);
  const auto again = ParseConfigList(list->text, "again");
  ASSERT_TRUE(again) << again.error().Text();
  EXPECT_EQ(again->name, list->name);
  EXPECT_EQ(again->version, list->version);
  EXPECT_EQ(again->plugins[0].json, list->plugins[0].json);
}

TEST(ConfigListTest, ChoosesHighestVersionThatWeSpeak) {
  struct Case {
    const char* versions;
    const char* chosen;
  };
  const Case cases[] = {
      {R"("cniVersions":["0.4.0","1.0.0","1.1.0"])", "1.1.0"},
      {R"("cniVersion":"0.4.0","cniVersions":["0.3.1"])", "0.4.0"},
      {R"("cniVersion":"1.0.0","cniVersions":["7.0.0"])", "1.0.0"},
      {R"("cniVersion":"")", "0.1.0"},
      {R"("disableCheck":false)", "0.1.0"},
  };
  for (const Case& one : cases) {
    const auto list = ParseConfigList(base::Cat("{", one.versions, R"(,"name":"n","plugins":[{"type":"t"}]})"), "f");
    ASSERT_TRUE(list) << one.versions << list.error().Text();
    EXPECT_EQ(list->version, one.chosen) << one.versions;
  }
}

TEST(ConfigListTest, RefusesWithItsReason) {
  struct Case {
    const char* text;
    const char* reason;
  };
  const Case cases[] = {
      {"", "not valid JSON"},
      {"[]", "not an object"},
      {R"({"plugins":[{"type":"t"}]})", "no valid network name"},
      {R"({"name":"-n","plugins":[{"type":"t"}]})", "no valid network name"},
      {R"({"name":"a/b","plugins":[{"type":"t"}]})", "no valid network name"},
      {R"({"name":7,"plugins":[{"type":"t"}]})", "name is not a string"},
      {R"({"name":"n"})", "no plugins"},
      {R"({"name":"n","plugins":[]})", "no plugins"},
      {R"({"name":"n","plugins":{}})", "plugins is not"},
      {R"({"name":"n","plugins":[7]})", "a plugin is not an object"},
      {R"({"name":"n","plugins":[{}]})", "a plugin has no type"},
      {R"({"name":"n","plugins":[{"type":"../x"}]})", "not the name of a file"},
      {R"({"name":"n","plugins":[{"type":".."}]})", "not the name of a file"},
      {R"({"name":"n","plugins":[{"type":"t","capabilities":{"a":1}}]})", "capability a"},
      {R"({"name":"n","cniVersion":"2.0.0","plugins":[{"type":"t"}]})", "version 2.0.0 is not supported"},
      {R"({"name":"n","disableCheck":"yes","plugins":[{"type":"t"}]})", "disableCheck"},
  };
  for (const Case& one : cases) {
    const auto list = ParseConfigList(one.text, "file");
    ASSERT_FALSE(list) << one.text;
    EXPECT_EQ(list.error().code, base::Code::kInvalidArgument) << one.text;
    EXPECT_THAT(list.error().Text(), HasSubstr(one.reason)) << one.text;
  }
}

TEST(ConfigListTest, RefusesTooManyPlugins) {
  std::string text = R"({"name":"n","plugins":[{"type":"t"})";
  for (size_t i = 0; i < kPluginLimit; ++i) text += R"(,{"type":"t"})";
  EXPECT_FALSE(ParseConfigList(text + "]}", "f"));
}

TEST(ConfigListTest, AppendsPluginsOfItsFolderInOrder) {
  const TempFolder folder;
  Write(folder.path() / "n" / "20-b.conf", R"({"type":"b"})");
  Write(folder.path() / "n" / "10-a.conf", R"({"type":"a"})");
  Write(folder.path() / "n" / "15.json", R"({"type":"not-a-conf"})");
  const auto list = ParseConfigList(R"({"name":"n","plugins":[{"type":"first"}]})", "f", folder.path());
  ASSERT_TRUE(list) << list.error().Text();
  ASSERT_EQ(list->plugins.size(), 3u);
  EXPECT_EQ(list->plugins[1].type, "a");
  EXPECT_EQ(list->plugins[2].type, "b");
  const auto cached = ParseConfigList(list->text, "cache");
  ASSERT_TRUE(cached);
  EXPECT_EQ(cached->plugins.size(), 3u);
}

TEST(ConfigListTest, LoadOnlyInlinedPluginsLeavesTheFolder) {
  const TempFolder folder;
  Write(folder.path() / "n" / "10-a.conf", R"({"type":"a"})");
  const auto list =
      ParseConfigList(R"({"name":"n","loadOnlyInlinedPlugins":true,"plugins":[{"type":"first"}]})", "f", folder.path());
  ASSERT_TRUE(list);
  EXPECT_EQ(list->plugins.size(), 1u);
}

TEST(ConfigListTest, BrokenPluginOfTheFolderBreaksTheList) {
  const TempFolder folder;
  Write(folder.path() / "n" / "10-a.conf", "{");
  EXPECT_FALSE(ParseConfigList(R"({"name":"n","plugins":[{"type":"first"}]})", "f", folder.path()));
}

}  // namespace
}  // namespace berth::network
