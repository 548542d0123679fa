#include "network/plugin.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/child.h"
#include "base/strings.h"
#include "tests/unit/network/fixtures.h"

namespace berth::network {
namespace {

using base::Code;
using testing::HasSubstr;

class ProcessRunnerTest : public testing::Test {
 protected:
  void Script(const std::string& name, const std::string& body) {
    Write(folder_.path() / name, "#!/bin/sh\n" + body + "\n", 0755);
  }
  base::Result<std::string> Exec(const std::string& type, const base::Context& context = {}, int* code = nullptr) {
    ProcessRunner runner({"/nowhere", folder_.path()});
    return runner.Exec(type, "ADD", {{"CNI_IFNAME", "eth0"}}, "{\"a\":1}", context, code);
  }
  TempFolder folder_;
};

TEST_F(ProcessRunnerTest, GivesInputAndVariablesAndReturnsOutput) {
  setenv("CNI_COMMAND", "inherited", 1);
  Script("p", "cat; echo \" $CNI_COMMAND $CNI_IFNAME $CNI_PATH $HOME\"; echo noise >&2");
  const auto output = Exec("p");
  unsetenv("CNI_COMMAND");
  ASSERT_TRUE(output) << output.error().Text();
  const char* home = getenv("HOME");
  EXPECT_EQ(*output,
            base::Cat("{\"a\":1} ADD eth0 /nowhere:", folder_.path().native(), " ", home == nullptr ? "" : home, "\n"));
}

TEST_F(ProcessRunnerTest, GivesTheRequestsId) {
  Script("p", "echo \"$BERTH_REQUEST_ID\"");
  EXPECT_EQ(Exec("p", base::Context::Make("17-4")).value_or("failed"), "17-4\n");
  EXPECT_EQ(Exec("p").value_or("failed"), "\n");
}

TEST_F(ProcessRunnerTest, MissingPluginNamesTheFoldersSearched) {
  const auto output = Exec("absent");
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().code, Code::kNotFound);
  EXPECT_THAT(output.error().Text(), HasSubstr("absent not found in /nowhere:" + folder_.path().native()));
}

TEST_F(ProcessRunnerTest, FileWithoutExecuteBitIsNoPlugin) {
  Write(folder_.path() / "p", "#!/bin/sh\n", 0644);
  EXPECT_EQ(Exec("p").error().code, Code::kNotFound);
}

TEST_F(ProcessRunnerTest, ErrorDocumentBecomesTheError) {
  Script("p", R"(echo '{"cniVersion":"1.0.0","code":11,"msg":"pool is empty","details":"try later"}'; exit 1)");
  int code = 0;
  const auto output = Exec("p", {}, &code);
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().Text(), "plugin p failed (ADD): pool is empty; try later");
  EXPECT_EQ(output.error().code, Code::kUnavailable);
  EXPECT_EQ(code, 11);
}

TEST_F(ProcessRunnerTest, TextOnStderrAloneIsReported) {
  Script("p", "echo 'no route to the controller' >&2; exit 1");
  const auto output = Exec("p");
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().Text(), "plugin p failed (ADD): exit code 1: no route to the controller");
}

TEST_F(ProcessRunnerTest, DeathBySignalIsReported) {
  Script("p", "kill -SEGV $$");
  const auto output = Exec("p");
  ASSERT_FALSE(output);
  EXPECT_THAT(output.error().Text(), HasSubstr("signal 11"));
}

TEST_F(ProcessRunnerTest, WhatCannotBeExecutedIsAnError) {
  Write(folder_.path() / "p", "garbage", 0755);
  const auto output = Exec("p");
  ASSERT_FALSE(output);
  EXPECT_THAT(output.error().Text(), HasSubstr("plugin p failed (ADD)"));
}

TEST_F(ProcessRunnerTest, EndlessAnswerIsAnError) {
  Script("p", "head -c 3000000 /dev/zero");
  const auto output = Exec("p");
  ASSERT_FALSE(output);
  EXPECT_THAT(output.error().Text(), HasSubstr("too long"));
}

// Waits for the process to be gone or a zombie that its new parent has yet to reap.
bool Ended(pid_t pid) {
  const auto pidfd = base::OpenPidfd(pid);
  if (!pidfd) return true;
  const auto ended = base::Context().WithTimeout(std::chrono::seconds(20)).Wait(pidfd->get(), POLLIN, "end");
  return ended.has_value();
}

TEST_F(ProcessRunnerTest, HangingPluginIsKilledWithItsChildren) {
  const base::Path pids = folder_.path() / "pids";
  ASSERT_EQ(mkfifo(pids.c_str(), 0600), 0);
  Script("p", base::Cat("sleep 1000 & echo $$ $! > ", pids.native(), "; wait"));
  const base::Context context = base::Context::Make("test");
  std::string text;
  std::jthread canceller([&] {
    // Opening waits for the plugin to run; then its time is up.
    text = base::ReadFile(pids).value_or("");
    context.Cancel();
  });
  const auto output = Exec("p", context);
  canceller.join();
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().code, Code::kCancelled);
  EXPECT_THAT(output.error().Text(), HasSubstr("was killed"));
  const auto parts = base::Split(base::Trim(text), ' ');
  ASSERT_EQ(parts.size(), 2u);
  for (const auto part : parts) {
    const auto pid = base::ParseInt(part);
    ASSERT_TRUE(pid);
    EXPECT_TRUE(Ended(static_cast<pid_t>(*pid)));
  }
}

TEST_F(ProcessRunnerTest, TimeLimitEndsThePlugin) {
  Script("p", "exec sleep 1000");
  const auto output = Exec("p", base::Context().WithTimeout(std::chrono::milliseconds(50)));
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().code, Code::kDeadlineExceeded);
  EXPECT_THAT(output.error().Text(), HasSubstr("plugin p failed (ADD): it did not end within"));
}

TEST_F(ProcessRunnerTest, BusyBinaryIsTriedAgain) {
  const base::Path binary = folder_.path() / "busy";
  std::filesystem::copy_file("/bin/true", binary);
  auto writer = base::Open(binary, O_WRONLY);
  ASSERT_TRUE(writer);
  std::jthread closer([&] { writer->Reset(); });
  const auto output = Exec("busy");
  closer.join();
  EXPECT_TRUE(output) << output.error().Text();
}

TEST_F(ProcessRunnerTest, BinaryThatStaysBusyIsAnError) {
  const base::Path binary = folder_.path() / "busy";
  std::filesystem::copy_file("/bin/true", binary);
  const auto writer = base::Open(binary, O_WRONLY);
  ASSERT_TRUE(writer);
  const auto output = Exec("busy");
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().err, ETXTBSY);
}

TEST(ParseFailureTest, SaysWhatIsKnown) {
  struct Case {
    const char* output;
    const char* errors;
    const char* said;
    int code;
  };
  const Case cases[] = {
      {R"({"code":3,"msg":"unknown"})", "ignored", "unknown", 3},
      {R"({"code":100,"details":"only details"})", "", "only details", 100},
      {R"({"code":7})", "", "code 7", 7},
      {R"({"code":"7","msg":5})", "words", "exit code 1: words", 0},
      {R"([1])", "", "exit code 1: [1]", 0},
      {"plain text", "", "exit code 1: plain text", 0},
      {"", "", "exit code 1, it said nothing", 0},
      {R"({"ips":[]})", "words\n", "exit code 1: words", 0},
  };
  for (const Case& one : cases) {
    const PluginFailure failure = ParseFailure("p", "DEL", one.output, one.errors, "exit code 1");
    EXPECT_EQ(failure.error.Text(), base::Cat("plugin p failed (DEL): ", one.said)) << one.output;
    EXPECT_EQ(failure.code, one.code) << one.output;
  }
}

}  // namespace
}  // namespace berth::network
