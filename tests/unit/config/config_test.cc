#include "config/config.h"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <type_traits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/keys.h"
#include "config/units.h"

namespace berth::config {
namespace {

using base::Code;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

class ConfigFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "berth-config-XXXXXX").native();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    ASSERT_TRUE(base::MakeDirs(folder_ / "berth.d"));
  }
  void TearDown() override { EXPECT_TRUE(base::RemoveTree(folder_)); }
  void Write(const std::string& name, std::string_view text) { ASSERT_TRUE(base::WriteFile(folder_ / name, text)); }
  base::Result<Config> LoadAll(std::vector<std::string> overrides = {}) {
    return Load({.file = folder_ / "berth.yaml", .dropin_dir = folder_ / "berth.d", .overrides = std::move(overrides)});
  }
  base::Path folder_;
};

TEST_F(ConfigFiles, NamedFileMustBeThere) {
  const auto config = LoadAll();
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, Code::kNotFound);
  EXPECT_THAT(config.error().message, HasSubstr("berth.yaml"));
}

TEST_F(ConfigFiles, EmptyFileAndMissingDropinFolderGiveTheDefaults) {
  Write("berth.yaml", "");
  ASSERT_TRUE(base::RemoveTree(folder_ / "berth.d"));
  const auto config = LoadAll();
  ASSERT_TRUE(config);
  EXPECT_EQ(*config, Config());
}

TEST_F(ConfigFiles, LaterOnesWinForEachKey) {
  Write("berth.yaml", "log: {level: debug, format: json}\nnetwork: {bin_dirs: [/a, /b]}\ncontainer: {pids_limit: 1}\n");
  Write("berth.d/20-b.yaml", "log: {level: error}\ncontainer: {pids_limit: 3}\n");
  Write("berth.d/10-a.yaml", "log: {level: warning}\nnetwork:\n  bin_dirs: [/c]\n");
  Write("berth.d/30-c.yaml.off", "nonsense");
  Write("berth.d/.40-d.yaml", "nonsense");
  const auto config = LoadAll({"container.pids_limit=4"});
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->log.level, LogLevel::kError);
  EXPECT_EQ(config->log.format, LogFormat::kJson);
  EXPECT_THAT(config->network.bin_dirs, ElementsAre("/c"));
  EXPECT_EQ(config->container.pids_limit, 4);
}

TEST_F(ConfigFiles, ErrorsNameTheFileThatIsWrong) {
  Write("berth.yaml", "\n\nlog:\n  level: loud\n");
  Write("berth.d/10-a.yaml", "pids_limit: 5\n");
  const auto config = LoadAll({"network.plugin_timeout=never"});
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, Code::kInvalidArgument);
  EXPECT_THAT(
      config.error().message,
      HasSubstr(folder_.native() + "/berth.yaml:4: log.level: \"loud\" is not one of debug, info, warning, error\n"));
  EXPECT_THAT(
      config.error().message,
      HasSubstr(folder_.native() + "/berth.d/10-a.yaml:1: pids_limit: unknown key; known here are state_root, "));
  EXPECT_THAT(
      config.error().message,
      HasSubstr("\nflag: network.plugin_timeout: \"never\" is not a duration (as 250ms, 30s, 5m) from 1s to 1h"));
}

TEST_F(ConfigFiles, RuleOverSeveralKeysNamesWhereTheKeyWasSet) {
  Write("berth.yaml", "log: {}\ndefault_runtime: youki\n");
  const auto config = LoadAll();
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().message,
            folder_.native() + "/berth.yaml:2: default_runtime: \"youki\" is not one of the runtimes");
}

TEST_F(ConfigFiles, MapsAreMergedAndNullRemoves) {
  Write("berth.yaml",
        "runtimes:\n  youki: {path: /opt/youki}\nimage:\n  registries:\n    docker.io: {mirrors: "
        "[\"https://m.example/x\"]}\n");
  Write("berth.d/1.yaml",
        "runtimes:\n  runc:\n  youki: {root: /run/y}\nimage: {registries: {docker.io: {insecure: true}}}\n");
  const auto config = LoadAll();
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->runtimes, (std::map<std::string, Runtime>{{"crun", {}}, {"youki", {"/opt/youki", "/run/y"}}}));
  EXPECT_EQ(config->image.registries.at("docker.io"), (Registry{{"https://m.example/x"}, true}));
}

TEST_F(ConfigFiles, OverridesReachEveryKindOfKey) {
  Write("berth.yaml", "{}");
  const auto config = LoadAll({"runtimes.crun.path=/opt/crun", "image.registries.my.host:5000.insecure=true",
                               "network.bin_dirs=[/x, /y]", "image.registries={other: {mirrors: [\"http://m\"]}}",
                               "default_runtime=", "log.level=debug"});
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->runtimes.at("crun").path, "/opt/crun");
  EXPECT_TRUE(config->image.registries.at("my.host:5000").insecure);
  EXPECT_THAT(config->image.registries.at("other").mirrors, ElementsAre("http://m"));
  EXPECT_THAT(config->network.bin_dirs, ElementsAre("/x", "/y"));
  EXPECT_EQ(config->log.level, LogLevel::kDebug);
}

TEST_F(ConfigFiles, WrongOverridesAreErrors) {
  Write("berth.yaml", "{}");
  const struct {
    std::string flag, error;
  } kCases[] = {
      {"log.level", "flag: log.level: is not of the form key=value"},
      {"log.depth=1", "flag: log.depth: unknown key; known here are level, format"},
      {"runtimes.crun.color=red", "flag: runtimes.crun.color: unknown key"},
      {"network.bin_dirs=[", "flag: network.bin_dirs: not valid YAML"},
      {"network.bin_dirs=/x", "flag: network.bin_dirs: \"/x\" is not a list of texts"},
  };
  for (const auto& test : kCases) {
    const auto config = LoadAll({test.flag});
    ASSERT_FALSE(config) << test.flag;
    EXPECT_THAT(config.error().message, HasSubstr(test.error));
  }
}

struct BadCase {
  std::string yaml;
  std::string error;  // the beginning of the message, after "f:"
};

class BadConfig : public testing::TestWithParam<BadCase> {};

TEST_P(BadConfig, IsAnErrorWithPlaceKeyAndWhatIsAllowed) {
  const auto config = Parse(GetParam().yaml, "f");
  ASSERT_FALSE(config) << GetParam().yaml;
  EXPECT_EQ(config.error().code, Code::kInvalidArgument);
  EXPECT_EQ(config.error().message.substr(0, GetParam().error.size()), GetParam().error);
}

INSTANTIATE_TEST_SUITE_P(
    All, BadConfig,
    testing::Values(
        BadCase{"a: [", "f:1: not valid YAML: "}, BadCase{"- a", "f:1: a list is not a map of keys"},
        BadCase{"--- {}\n--- {}", "f:2: a second document; one file holds one"},
        BadCase{",", "f:1: a second document; one file holds one"},  // the parser's words for no document at all
        BadCase{"\nnonsense: 1", "f:2: nonsense: unknown key; known here are state_root, run_root, runtimes, "},
        BadCase{"log:\n  depth: 1", "f:2: log.depth: unknown key; known here are level, format"},
        BadCase{"log: 1", "f:1: log: \"1\" is not a map of keys"},
        BadCase{"log: {level: debug}\nlog: {level: info}", "f:2: log: stands here twice"},
        BadCase{"log:\n  level: info\n  level: info", "f:3: log.level: stands here twice"},
        BadCase{"[a]: 1", "f:1: a key that is not a text of one line"},
        BadCase{"container:\n  pids_limit: many",
                "f:2: container.pids_limit: \"many\" is not a whole number from 0 to 4194304"},
        BadCase{"container: {pids_limit: -1}", "f:1: container.pids_limit: \"-1\" is not a whole number from 0"},
        BadCase{"container: {pids_limit: 1.5}", "f:1: container.pids_limit: \"1.5\" is not"},
        BadCase{"container: {pids_limit: 99999999999999999999}",
                "f:1: container.pids_limit: \"99999999999999999999\" is not"},
        BadCase{"container: {pids_limit: }", "f:1: container.pids_limit: nothing is not a whole number"},
        BadCase{"container: {pids_limit: [1]}", "f:1: container.pids_limit: a list is not a whole number"},
        BadCase{"container: {clamp_oom_score_adj: yes}",
                "f:1: container.clamp_oom_score_adj: \"yes\" is not true or false"},
        BadCase{"network: {plugin_timeout: 30}",
                "f:1: network.plugin_timeout: \"30\" is not a duration (as 250ms, 30s, 5m) from 1s to 1h"},
        BadCase{"network: {plugin_timeout: 2h}", "f:1: network.plugin_timeout: \"2h\" is not a duration"},
        BadCase{"grpc: {max_message: 1MB}",
                "f:1: grpc.max_message: \"1MB\" is not a size (as 4096, 16KiB, 1GiB) from 1MiB to 1GiB"},
        BadCase{"grpc: {socket_mode: 9999}", "f:1: grpc.socket_mode: \"9999\" is not an octal mode as 0660"},
        BadCase{"log: {level: loud}", "f:1: log.level: \"loud\" is not one of debug, info, warning, error"},
        BadCase{"state_root: var/lib", "f:1: state_root: \"var/lib\" is not a path: an absolute path"},
        BadCase{"state_root: /", "f:1: state_root: \"/\" is not a path"},
        BadCase{"state_root: /a/../b", "f:1: state_root: \"/a/../b\" is not a path"},
        BadCase{"run_root: /var/lib/berth", "f:1: run_root: is the same folder as state_root"},
        BadCase{"state_root: \"/a\\nb\"", "f:1: state_root: \"/a?b\" is not"},
        BadCase{"network: {bin_dirs: /a}", "f:1: network.bin_dirs: \"/a\" is not a list of texts: an absolute path"},
        BadCase{"network:\n  bin_dirs:\n  - /a\n  - b",
                "f:4: network.bin_dirs: \"b\" is not a list of texts: an absolute path"},
        BadCase{"network: {bin_dirs: [[/a]]}", "f:1: network.bin_dirs: a list is not"},
        BadCase{"runtimes: [crun]", "f:1: runtimes: a list is not a map"},
        BadCase{"runtimes: {crun: /bin/crun}", "f:1: runtimes.crun: \"/bin/crun\" is not a map of keys"},
        BadCase{"runtimes: {crun: {color: red}}", "f:1: runtimes.crun.color: unknown key; known here are path, root"},
        BadCase{"runtimes: {crun: {path: crun}}", "f:1: runtimes.crun.path: \"crun\" is not a path: an absolute path"},
        BadCase{"runtimes: {\"a b\": {}}", "f:1: runtimes.a b: \"a b\" is not 1 to 63 letters"},
        BadCase{"runtimes: {youki: }", "f:1: runtimes.youki: null removes an entry, and there is none"},
        BadCase{"runtimes: {crun: , runc: }", "f:1: runtimes: none is left"},
        BadCase{"image: {registries: {docker.io: {mirrors: [m.example]}}}",
                "f:1: image.registries.docker.io.mirrors: \"m.example\" is not a list of texts: a URL http(s)://"},
        BadCase{"image: {registries: {\"a/b\": {}}}", "f:1: image.registries.a/b: \"a/b\" is not a registry's host"},
        BadCase{"container: {default_capabilities: [CAP_CHOWN]}",
                "f:1: container.default_capabilities: \"CAP_CHOWN\" is not"}));

TEST(ParseConfig, ReportsSeveralProblemsButNotWithoutEnd) {
  std::string yaml;
  for (int i = 0; i < 100; ++i) yaml += "x" + std::to_string(i) + ": 1\n";
  const auto config = Parse(yaml, "f");
  ASSERT_FALSE(config);
  EXPECT_EQ(std::count(config.error().message.begin(), config.error().message.end(), '\n'), 19);
}

TEST(ParseConfig, SectionWithAllKeysCommentedOutIsEmpty) {
  EXPECT_EQ(Parse("log:\n#  level: debug\nruntimes:\n", "f").value(), Config());
}

TEST(ParseConfig, DeepNestingIsAnErrorNotACrash) {
  EXPECT_FALSE(Parse(std::string(100'000, '['), "f"));
  EXPECT_FALSE(Parse("log: &a {level: *a}", "f"));
}

TEST(PrintConfig, DefaultsLoadBack) {
  const std::string text = Print(Config());
  const auto again = Parse(text, "printed");
  ASSERT_TRUE(again) << again.error().message << text;
  EXPECT_EQ(*again, Config());
}

TEST(PrintConfig, EveryValueLoadsBack) {
  Config config;
  config.state_root = "/var/lib/with space";
  config.runtimes = {{"youki", {"/opt/y\"o\\u", ""}}};
  config.default_runtime = "youki";
  config.grpc.socket_mode = {0600};
  config.grpc.max_message = {(1 << 20) + 1};
  config.log.format = LogFormat::kJson;
  config.cgroup.driver = CgroupDriver::kSystemd;
  config.cgroup.monitor_parent = "berth-monitors.slice";
  config.network.bin_dirs = {};
  config.network.plugin_timeout = milliseconds(1500);
  config.network.ip_preference = IpPreference::kCni;
  config.network.default_network = "null";
  config.image.registries = {{"docker.io", {{"https://a.example/x", "http://[::1]:5000"}, true}}, {"[::1]:5000", {}}};
  config.image.pinned = {"*/pause:*", "# x", "~", "true", "\xc3\xbc"};
  config.container.clamp_oom_score_adj = false;
  const std::string text = Print(config);
  const auto again = Parse(text, "printed");
  ASSERT_TRUE(again) << again.error().message << text;
  EXPECT_EQ(*again, config) << text;
}

TEST(PrintConfig, SaysWhatAKeyMeansAndItsDefault) {
  Config config;
  config.network.plugin_timeout = seconds(5);
  EXPECT_THAT(Print(config), HasSubstr("  # Time limit of each run of a CNI plugin.\n"
                                       "  # a duration (as 250ms, 30s, 5m) from 1s to 1h; default 1m\n"
                                       "  plugin_timeout: 5s\n"));
}

TEST(Keys, DefaultsObeyTheirOwnRules) {
  Config config;
  for (const Key& key : ConfigKeys()) {
    const Field field = key.field(&config);
    if (const auto* number = std::get_if<int64_t*>(&field)) {
      EXPECT_GE(**number, key.min) << key.path;
      EXPECT_LE(**number, key.max) << key.path;
    }
    if (const auto* enumeration = std::get_if<EnumRef>(&field)) {
      EXPECT_LT(static_cast<size_t>(enumeration->get(enumeration->value)), key.choices.size()) << key.path;
    }
    EXPECT_TRUE(key.doc.ends_with('.')) << key.path;
  }
}

// Whoever adds a member to Config without a key would have it neither read nor printed.
TEST(Keys, EveryKeyHasAFieldOfItsOwn) {
  Config config;
  std::set<const void*> seen;
  for (const Key& key : ConfigKeys()) {
    const Field field = key.field(&config);
    const void* at = std::visit(
        [](const auto& value) -> const void* {
          if constexpr (std::is_same_v<std::decay_t<decltype(value)>, EnumRef>) {
            return value.value;
          } else {
            return value;
          }
        },
        field);
    EXPECT_TRUE(seen.insert(at).second) << key.path;
  }
  EXPECT_EQ(seen.size(), ConfigKeys().size());
}

TEST(Units, DurationsSizesAndModes) {
  EXPECT_EQ(ParseDuration("250ms"), milliseconds(250));
  EXPECT_EQ(ParseDuration("5m"), milliseconds(300'000));
  EXPECT_EQ(ParseDuration("0"), milliseconds(0));
  for (const char* bad : {"", "5", "ms", "-1s", "1.5s", "1s2ms", "1 s", "99999999999999999h", "+1s"}) {
    EXPECT_FALSE(ParseDuration(bad)) << bad;
  }
  EXPECT_EQ(ParseSize("0")->bytes, 0u);
  EXPECT_EQ(ParseSize("16MiB")->bytes, 16u << 20);
  for (const char* bad : {"", "MiB", "1MB", "1.5MiB", "9999999TiB999", "99999999TiB", "-1"})
    EXPECT_FALSE(ParseSize(bad)) << bad;
  EXPECT_EQ(ParseMode("0660")->bits, 0660u);
  EXPECT_EQ(ParseMode("600")->bits, 0600u);
  for (const char* bad : {"", "0", "66", "1660", "0o660", "08", "0880"}) EXPECT_FALSE(ParseMode(bad)) << bad;
  EXPECT_EQ(FormatDuration(milliseconds(90'000)), "90s");
  EXPECT_EQ(FormatDuration(milliseconds(0)), "0");
  EXPECT_EQ(FormatSize({1536}), "1536");
  EXPECT_EQ(FormatSize({3 << 20}), "3MiB");
  EXPECT_EQ(FormatMode({0640}), "0640");
}

}  // namespace
}  // namespace berth::config
