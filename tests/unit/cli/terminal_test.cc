#include "cli/terminal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/unique_fd.h"
#include "cli/stream_client.h"

namespace berth::cli {
namespace {

TEST(DetachKeys, AreFoundWhereverTheyAreCut) {
  DetachKeys together;
  EXPECT_EQ(together.Filter("ab\x10\x11zz"), "ab");
  EXPECT_TRUE(together.pressed());
  DetachKeys apart;
  EXPECT_EQ(apart.Filter("a\x10"), "a");
  EXPECT_FALSE(apart.pressed());
  EXPECT_EQ(apart.Filter("\x11"), "");
  EXPECT_TRUE(apart.pressed());
}

TEST(DetachKeys, OtherKeysAreSentAsTheyAre) {
  DetachKeys keys;
  EXPECT_EQ(keys.Filter("\x10x\x11"), "\x10x\x11");
  EXPECT_EQ(keys.Filter("\x10\x10"), "\x10");
  EXPECT_EQ(keys.Filter("y"), "\x10y");
  EXPECT_FALSE(keys.pressed());
}

TEST(RawTerminal, IsAsBeforeAfterwards) {
  const base::UniqueFd master(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_EQ(unlockpt(master.get()), 0);
  const base::UniqueFd slave(open(ptsname(master.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
  termios before{};
  ASSERT_EQ(tcgetattr(slave.get(), &before), 0);
  {
    const auto raw = RawTerminal::Make(slave.get());
    ASSERT_TRUE(raw);
    termios now{};
    ASSERT_EQ(tcgetattr(slave.get(), &now), 0);
    EXPECT_EQ(now.c_lflag & (ICANON | ECHO | ISIG), 0u);
  }
  termios after{};
  ASSERT_EQ(tcgetattr(slave.get(), &after), 0);
  EXPECT_EQ(after.c_lflag, before.c_lflag);
  EXPECT_EQ(after.c_iflag, before.c_iflag);
  winsize size{};
  size.ws_col = 80;
  size.ws_row = 24;
  ASSERT_EQ(ioctl(master.get(), TIOCSWINSZ, &size), 0);
  EXPECT_EQ(TerminalSizeJson(slave.get()), "{\"Width\":80,\"Height\":24}\n");
}

TEST(RawTerminal, WhatIsNoTerminalIsLeftAlone) {
  const base::UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_TRUE(RawTerminal::Make(null.get()));
  EXPECT_FALSE(TerminalSizeJson(null.get()));
}

TEST(CodeOfStatus, ReadsWhatServersSay) {
  EXPECT_EQ(CodeOfStatus(R"({"metadata":{},"status":"Success"})").value_or(-1), 0);
  EXPECT_EQ(
      CodeOfStatus(
          R"({"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}})")
          .value_or(-1),
      3);
  const auto failed =
      CodeOfStatus(R"({"status":"Failure","message":"no such file","reason":"InternalError","code":500})");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "no such file");
  for (
      const char* text :
      {"", "[]", "{}",
       R"({"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"300"}]}})",
       R"({"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[7]}})"}) {
    EXPECT_FALSE(CodeOfStatus(text)) << text;
  }
}

}  // namespace
}  // namespace berth::cli
