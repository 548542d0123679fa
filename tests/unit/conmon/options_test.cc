#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "conmon/options.h"

namespace berth::conmon {
namespace {

const std::vector<std::string> kNeeded = {"--id=x", "--pid-file=/p", "--run-folder=/r"};

// Parses the needed options, `more`, and a runtime's command.
const char* Parse(const std::vector<std::string>& more, MonitorOptions& out, std::vector<std::string>& keep) {
  keep = {"berth-monitor"};
  keep.insert(keep.end(), kNeeded.begin(), kNeeded.end());
  keep.insert(keep.end(), more.begin(), more.end());
  keep.insert(keep.end(), {"--", "/usr/bin/crun", "create", "--id=other"});
  std::vector<char*> argv;
  for (std::string& text : keep) argv.push_back(text.data());
  argv.push_back(nullptr);
  static std::vector<char*> kept;
  kept = argv;
  return ParseOptions(kept, out);
}
const char* Wrong(const std::vector<std::string>& more) {
  MonitorOptions out;
  std::vector<std::string> keep;
  return Parse(more, out, keep);
}

TEST(MonitorOptionsTest, TakesEveryOption) {
  MonitorOptions out;
  std::vector<std::string> keep;
  ASSERT_EQ(Parse({"--log=/l", "--runtime-log=/rl", "--cgroup-root=/c", "--log-limit=1", "--partial-ms=60000",
                   "--drain-ms=0", "--create-ms=5", "--terminal=yes", "--stdin=once", "--join=/a", "--join=/b"},
                  out, keep),
            nullptr);
  EXPECT_STREQ(out.id, "x");
  EXPECT_STREQ(out.log, "/l");
  EXPECT_STREQ(out.runtime_log, "/rl");
  EXPECT_STREQ(out.cgroup_root, "/c");
  EXPECT_EQ(out.log_limit, 1u);
  EXPECT_EQ(out.partial_ms, 60000u);
  EXPECT_EQ(out.drain_ms, 0u);
  EXPECT_EQ(out.create_ms, 5u);
  EXPECT_TRUE(out.terminal);
  EXPECT_TRUE(out.stdin_open);
  EXPECT_TRUE(out.stdin_once);
  ASSERT_EQ(out.joins, 2u);
  EXPECT_STREQ(out.join[1], "/b");
  EXPECT_STREQ(out.runtime[0], "/usr/bin/crun");
  EXPECT_STREQ(out.runtime[2], "--id=other");
  EXPECT_EQ(out.runtime[3], nullptr);
}

TEST(MonitorOptionsTest, RefusesWhatIsWrong) {
  const struct {
    std::vector<std::string> more;
    const char* wrong;
  } kCases[] = {
      {{"--unknown=1"}, "unknown option"},
      {{"log=/x"}, "unknown option"},
      {{""}, "unknown option"},
      {{"--id=y"}, "option given twice"},
      {{"--log=/a", "--log=/b"}, "option given twice"},
      {{"--terminal=no", "--terminal=no"}, "option given twice"},
      {{"--log="}, "option without a value"},
      {{"--log=relative"}, "path is not absolute"},
      {{"--join="}, "path is not absolute"},
      {{"--log-limit=0"}, "number out of range"},
      {{"--log-limit=32769"}, "number out of range"},
      {{"--log-limit=-1"}, "number out of range"},
      {{"--log-limit=1k"}, "number out of range"},
      {{"--drain-ms=99999999999999999999999"}, "number out of range"},
      {{"--terminal=true"}, "--terminal is yes or no"},
      {{"--stdin="}, "--stdin is no, open or once"},
      {std::vector<std::string>(kJoinLimit + 1, "--join=/x"), "too many --join options"},
  };
  for (const auto& test : kCases) {
    EXPECT_STREQ(Wrong(test.more), test.wrong) << test.more.front();
  }
}

TEST(MonitorOptionsTest, NeedsARuntimeCommand) {
  const auto parse = [](std::vector<std::string> texts) {
    std::vector<char*> argv;
    for (std::string& text : texts) argv.push_back(text.data());
    argv.push_back(nullptr);
    MonitorOptions out;
    return std::string_view(ParseOptions(argv, out));
  };
  EXPECT_EQ(parse({"m", "--id=x", "--pid-file=/p", "--run-folder=/r"}), "no -- before the runtime's command");
  EXPECT_EQ(parse({"m", "--id=x", "--pid-file=/p", "--run-folder=/r", "--"}), "no runtime command");
  EXPECT_EQ(parse({"m", "--id=x", "--pid-file=/p", "--run-folder=/r", "--", "crun"}), "runtime's path is not absolute");
  EXPECT_EQ(parse({"m", "--pid-file=/p", "--run-folder=/r", "--", "/crun"}), "--id is missing");
  EXPECT_EQ(parse({"m", "--id=x", "--run-folder=/r", "--", "/crun"}), "--pid-file is missing");
  EXPECT_EQ(parse({"m", "--id=x", "--pid-file=/p", "--", "/crun"}), "--run-folder is missing");
}

}  // namespace
}  // namespace berth::conmon
