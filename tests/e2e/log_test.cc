// Container logs: the format that the kubelet reads, and that rotation loses nothing.
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using base::Path;
using testing::IsEmpty;

class Log : public OnRuntime {};
ON_EVERY_RUNTIME(Log);

TEST_P(Log, RecordsHaveTimeStreamAndTag) {
  Made made = RunContainer(Sh("echo one; sleep 0.2; echo two >&2; sleep 0.2; echo; printf three"));
  WaitExited(made.container);
  auto records = ReadLog(made.log());
  ASSERT_EQ(records.size(), 4u);
  const char* expected[][3] = {
      {"stdout", "F", "one"}, {"stderr", "F", "two"}, {"stdout", "F", ""}, {"stdout", "P", "three"}};
  std::string last;
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(records[i].stream, expected[i][0]);
    EXPECT_EQ(records[i].tag, expected[i][1]);
    EXPECT_EQ(records[i].content, expected[i][2]);
    EXPECT_EQ(records[i].time.size(), 30u);
    EXPECT_GE(records[i].time, last);
    last = records[i].time;
  }
}

TEST_P(Log, LongLinesAreCutAndNothingIsLost) {
  Made made = RunContainer(Sh("head -c 100000 /dev/zero | tr '\\0' x; echo; echo end"));
  WaitExited(made.container);
  auto records = ReadLog(made.log());
  ASSERT_GT(records.size(), 6u);
  for (const LogRecord& record : records) EXPECT_LE(record.content.size(), 16384u);
  EXPECT_EQ(LogText(made.log()), std::string(100000, 'x') + "\nend\n");
}

TEST_P(Log, BytesAreKeptAsTheyAre) {
  Made made = RunContainer(Sh("printf 'a\\000b\\377\\r\\nend\\n'"));
  WaitExited(made.container);
  EXPECT_EQ(LogText(made.log()), std::string("a\0b\377\r\nend\n", 10));
}

TEST_P(Log, FileExistsWhenStartReturns) {
  Made made = RunContainer({"sleep", "1000"});
  EXPECT_TRUE(base::Exists(made.log()));
}

TEST_P(Log, NoPathDiscardsOutputWithoutBlocking) {
  Made made = RunContainer(Sh("head -c 3000000 /dev/zero; exit 5"),
                           [](auto&, v1::ContainerConfig& config) { config.clear_log_path(); });
  EXPECT_EQ(WaitExited(made.container).exit_code(), 5);
}

TEST_P(Log, AllOutputIsThereOnceTheStateIsExited) {
  Made made = RunContainer(Sh("seq 1 50000"));
  WaitExited(made.container);
  std::string expected;
  for (int i = 1; i <= 50000; ++i) expected += std::to_string(i) + "\n";
  EXPECT_EQ(LogText(made.log()), expected);
}

TEST_P(Log, ReopenAfterRenameLosesNothing) {
  Made made = RunContainer(
      Sh("i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); [ $((i % 100)) != 0 ] || sleep 0.01; done"));
  std::vector<Path> parts;
  for (int round = 0; round < 20; ++round) {
    ASSERT_TRUE(Eventually([&] { return !ReadLog(made.log()).empty(); }));
    parts.push_back(made.log().string() + "." + std::to_string(round));
    std::filesystem::rename(made.log(), parts.back());
    auto reopened = cri().ReopenLog(made.container);
    if (!reopened.ok()) {
      // It ended between the look and the call; then no file may have been made.
      EXPECT_FALSE(base::Exists(made.log())) << reopened.message();
      break;
    }
    EXPECT_TRUE(base::Exists(made.log()));
  }
  WaitExited(made.container);
  parts.push_back(made.log());
  std::string text, expected;
  for (const Path& part : parts) text += LogText(part);
  for (int i = 0; i < 20000; ++i) expected += std::to_string(i) + "\n";
  EXPECT_EQ(text, expected);
}

TEST_P(Log, ReopenOfAStoppedContainerMakesNoFile) {
  Made made = RunContainer(Sh("echo done"));
  WaitExited(made.container);
  std::filesystem::rename(made.log(), made.log().string() + ".1");
  EXPECT_FALSE(cri().ReopenLog(made.container).ok());
  EXPECT_FALSE(base::Exists(made.log()));
}

TEST_P(Log, TwoContainersOfAPodHaveFilesOfTheirOwn) {
  Made made = RunContainer(Sh("echo first"));
  auto config = Container(Sh("echo second"), "other");
  auto created = cri().Create(made.pod, config, made.pod_config);
  ASSERT_CALL_OK(created);
  ASSERT_CALL_OK(cri().Start(created->container_id()));
  WaitExited(made.container);
  WaitExited(created->container_id());
  EXPECT_EQ(LogText(made.log()), "first\n");
  EXPECT_EQ(LogText(Path(made.pod_config.log_directory()) / "other/0.log"), "second\n");
}

}  // namespace
}  // namespace berth::e2e
