#include <gmock/gmock.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "tests/unit/conmon/monitor_fixture.h"

namespace berth::conmon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Received {
  std::string out;
  std::string err;
  bool ended = false;  // an orderly end was announced
};

class AttachTest : public MonitorFixture {
 protected:
  base::UniqueFd Attach(uint32_t flags) const {
    auto fd = Connect().Attach(flags, Bound());
    EXPECT_TRUE(fd) << fd.error().Text();
    return fd ? *std::move(fd) : base::UniqueFd();
  }
  static void Send(int fd, std::string_view text) {
    const std::string packet = std::string(1, '\0') + std::string(text);
    ASSERT_EQ(send(fd, packet.data(), packet.size(), MSG_NOSIGNAL), static_cast<ssize_t>(packet.size()));
  }
  // Reads until the other side closes, or until `out` holds `until`.
  Received Receive(int fd, std::string_view until = {}) const {
    Received all;
    std::string packet(kAttachDataLimit + 1, '\0');
    while (until.empty() || all.out.find(until) == std::string::npos) {
      if (auto ready = Bound().Wait(fd, POLLIN, "attach"); !ready) {
        ADD_FAILURE() << ready.error().Text();
        break;
      }
      const ssize_t got = recv(fd, packet.data(), packet.size(), 0);
      if (got <= 0) break;
      const std::string_view data(packet.data() + 1, static_cast<size_t>(got) - 1);
      switch (static_cast<AttachFrame>(packet[0])) {
        case AttachFrame::kStdout:
          all.out += data;
          break;
        case AttachFrame::kStderr:
          all.err += data;
          break;
        case AttachFrame::kEnded:
          all.ended = true;
          break;
        case AttachFrame::kStdin:
          ADD_FAILURE() << "stdin frame from the monitor";
          break;
      }
    }
    return all;
  }
};

TEST_F(AttachTest, EveryClientGetsBothStreamsApart) {
  MakeFifo("go");
  auto launched = LaunchMonitor(Options("read x < $D/go; echo out; echo err >&2"), Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  const base::UniqueFd first = Attach(kAttachStdout | kAttachStderr);
  const base::UniqueFd second = Attach(kAttachStderr);
  Release("go");
  const Received both = Receive(first.get());
  EXPECT_EQ(both.out, "out\n");
  EXPECT_EQ(both.err, "err\n");
  EXPECT_TRUE(both.ended);
  const Received one = Receive(second.get());
  EXPECT_EQ(one.out, "");
  EXPECT_EQ(one.err, "err\n");
  EXPECT_TRUE(Finish(*launched));
}

TEST_F(AttachTest, AStalledClientIsDroppedAndTheLogIsComplete) {
  MakeFifo("go");
  MakeFifo("end");
  auto launched = LaunchMonitor(Options("read x < $D/go; seq 1 1000000; read x < $D/end"), Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  const base::UniqueFd stalled = Attach(kAttachStdout);
  Release("go");
  // The shell reaches its second read only once all its output was taken.
  Release("end");
  ASSERT_TRUE(Finish(*launched));
  const auto records = Records(ReadLog());
  ASSERT_EQ(records.size(), 1000000u);
  EXPECT_EQ(records.back(), "stdout F 1000000");
  const Received partial = Receive(stalled.get());
  EXPECT_FALSE(partial.ended);
  EXPECT_LT(partial.out.size(), 6'888'896u);
  EXPECT_TRUE(partial.out.starts_with("1\n2\n3\n"));
}

TEST_F(AttachTest, StdinOfAllClientsIsMerged) {
  LaunchOptions options = Options("read a; echo got $a; read b; echo got $b");
  options.stdin_open = true;
  auto launched = LaunchMonitor(options, Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  const base::UniqueFd first = Attach(kAttachStdin | kAttachStdout);
  const base::UniqueFd second = Attach(kAttachStdin | kAttachStdout);
  Send(first.get(), "one\n");
  Receive(first.get(), "got one\n");
  Send(second.get(), "two\n");
  EXPECT_EQ(Receive(second.get()).out, "got one\ngot two\n");
  EXPECT_TRUE(Finish(*launched));
}

TEST_F(AttachTest, LargeStdinIsDeliveredWhole) {
  MakeFifo("go");
  LaunchOptions options = Options("read x < $D/go; head -c 4000000 | cksum");
  options.stdin_open = true;
  options.stdin_once = true;
  auto launched = LaunchMonitor(options, Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  const base::UniqueFd client = Attach(kAttachStdin | kAttachStdout);
  std::string packet(kAttachDataLimit + 1, 'z');
  packet[0] = '\0';
  bool released = false;
  for (size_t left = 4'000'000; left > 0;) {
    const size_t size = std::min(left, kAttachDataLimit);
    if (send(client.get(), packet.data(), size + 1, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
      left -= size;
      continue;
    }
    ASSERT_EQ(errno, EAGAIN);
    if (!released) Release("go");  // only now, so that everything in between was full once
    released = true;
    ASSERT_TRUE(Bound().Wait(client.get(), POLLOUT, "stdin"));
  }
  ASSERT_EQ(shutdown(client.get(), SHUT_WR), 0);
  const auto expected =
      base::Run({.spawn = {.program = "/bin/sh",
                           .arguments = {"sh", "-c", "head -c 4000000 /dev/zero | tr '\\0' z | cksum"},
                           .environment = {"PATH=/usr/bin:/bin"}}},
                Bound());
  ASSERT_TRUE(expected);
  EXPECT_EQ(Receive(client.get()).out, expected->output);
  EXPECT_TRUE(Finish(*launched));
}

TEST_F(AttachTest, StdinOnceClosesTheContainersStdinAndKeepsTheOutput) {
  LaunchOptions options = Options("cat; echo after eof");
  options.stdin_open = true;
  options.stdin_once = true;
  auto launched = LaunchMonitor(options, Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  const base::UniqueFd client = Attach(kAttachStdin | kAttachStdout);
  Send(client.get(), "text\n");
  ASSERT_EQ(shutdown(client.get(), SHUT_WR), 0);
  const Received all = Receive(client.get());
  EXPECT_EQ(all.out, "text\nafter eof\n");
  EXPECT_TRUE(all.ended);
  EXPECT_TRUE(Finish(*launched));
}

TEST_F(AttachTest, WithoutStdinOnceTheSessionEndsAndStdinStaysOpen) {
  LaunchOptions options = Options("read a; echo $a; read b; echo $b");
  options.stdin_open = true;
  auto launched = LaunchMonitor(options, Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  const base::UniqueFd first = Attach(kAttachStdin | kAttachStdout);
  ASSERT_EQ(shutdown(first.get(), SHUT_WR), 0);
  EXPECT_TRUE(Receive(first.get()).ended);
  const base::UniqueFd second = Attach(kAttachStdin | kAttachStdout);
  Send(second.get(), "1\n2\n");
  EXPECT_EQ(Receive(second.get()).out, "1\n2\n");
  EXPECT_TRUE(Finish(*launched));
}

TEST_F(AttachTest, ContainerWithoutStdinReadsNothing) {
  auto launched = LaunchMonitor(Options("cat; echo end"), Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  EXPECT_TRUE(Finish(*launched));
  EXPECT_THAT(Records(ReadLog()), ElementsAre("stdout F end"));
}

TEST_F(AttachTest, InputThatNobodyReadsIsRefused) {
  MakeFifo("go");
  LaunchOptions options = Options("exec < /dev/null; echo closed; read x < $D/go");
  options.stdin_open = true;
  auto launched = LaunchMonitor(options, Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  const base::UniqueFd client = Attach(kAttachStdin | kAttachStdout);
  // Whether the shell has closed its end already or does it later: in the end every send fails.
  const std::string packet(1 + kAttachDataLimit, '\0');
  ssize_t sent = 0;
  while (sent >= 0) {
    ASSERT_TRUE(Bound().Wait(client.get(), POLLOUT, "attach"));
    sent = send(client.get(), packet.data(), packet.size(), MSG_NOSIGNAL);
  }
  EXPECT_EQ(errno, EPIPE);
  const base::UniqueFd late = Attach(kAttachStdin | kAttachStdout);
  EXPECT_EQ(send(late.get(), packet.data(), 2, MSG_NOSIGNAL), -1);
  EXPECT_EQ(errno, EPIPE);
  Release("go");
  EXPECT_TRUE(Finish(*launched));
}

TEST_F(AttachTest, RefusesMoreClientsThanItHasSlotsFor) {
  MakeFifo("go");
  auto launched = LaunchMonitor(Options("read x < $D/go"), Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  MonitorConnection connection = Connect();
  std::vector<base::UniqueFd> clients;
  for (int i = 0; i < 16; ++i) {
    auto fd = connection.Attach(kAttachStdout, Bound());
    ASSERT_TRUE(fd) << i;
    clients.push_back(*std::move(fd));
  }
  const auto refused = connection.Attach(kAttachStdout, Bound());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kResourceExhausted);
  const auto status = connection.GetStatus(Bound());
  ASSERT_TRUE(status);
  EXPECT_EQ(status->attached, 16u);
  clients.clear();
  Release("go");
  EXPECT_TRUE(Finish(*launched));
}

TEST_F(AttachTest, AClientThatSendsNonsenseIsDropped) {
  LaunchOptions options = Options("read a; echo $a");
  options.stdin_open = true;
  auto launched = LaunchMonitor(options, Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  const base::UniqueFd client = Attach(kAttachStdin | kAttachStdout);
  ASSERT_EQ(send(client.get(), "\x07nonsense", 9, MSG_NOSIGNAL), 9);
  EXPECT_FALSE(Receive(client.get()).ended);
  EXPECT_TRUE(Connect().CloseStdin(Bound()));
  EXPECT_TRUE(Finish(*launched));
}

TEST_F(AttachTest, TerminalCarriesInputOutputAndSize) {
  LaunchOptions options = TerminalOptions("stty -echo; echo ready; read x; stty size; read x; exit 6");
  options.stdin_open = true;
  auto launched = LaunchMonitor(options, Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  const base::UniqueFd client = Attach(kAttachStdin | kAttachStdout);
  const auto resized = Connect().Resize(123, 45, Bound());
  ASSERT_TRUE(resized) << resized.error().Text();
  Send(client.get(), "\n");
  EXPECT_THAT(Receive(client.get(), "45 123").out, HasSubstr("45 123"));
  Send(client.get(), "\n");
  EXPECT_TRUE(Receive(client.get()).ended);
  const auto record = Finish(*launched);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->code, 6);
  EXPECT_THAT(Records(ReadLog()), testing::Contains("stdout F 45 123\r"));
  EXPECT_FALSE(base::Exists(folder_ / "console.sock"));
}

TEST_F(AttachTest, ResizeWithoutATerminalIsAnError) {
  MakeFifo("go");
  auto launched = LaunchMonitor(Options("read x < $D/go"), Bound());
  ASSERT_TRUE(launched) << launched.error().Text();
  const auto resized = Connect().Resize(1, 1, Bound());
  ASSERT_FALSE(resized);
  EXPECT_EQ(resized.error().code, base::Code::kFailedPrecondition);
  Release("go");
  EXPECT_TRUE(Finish(*launched));
}

TEST_F(AttachTest, RuntimeWithoutATerminalIsAnError) {
  LaunchOptions options = TerminalOptions("");
  options.runtime = {
      "/bin/sh", "-c", "sleep 0 & echo $! > $1", "create", options.pid_file.native(), kConsoleSocketPlaceholder};
  const auto launched = LaunchMonitor(options, Bound());
  ASSERT_FALSE(launched);
  EXPECT_THAT(launched.error().message, HasSubstr("gave no terminal"));
}

TEST_F(AttachTest, FullDiskNeverBlocksTheContainer) {
  const base::Path disk = folder_ / "disk";
  ASSERT_TRUE(base::MakeDirs(disk));
  if (mount("none", disk.c_str(), "tmpfs", 0, "size=64k") != 0) GTEST_SKIP() << "mounting a tmpfs needs root";
  MakeFifo("go");
  MakeFifo("end");
  LaunchOptions options = Options("seq 1 100000; read x < $D/go; echo space again; read x < $D/end");
  options.log = disk / "0.log";
  auto launched = LaunchMonitor(options, Bound());
  EXPECT_TRUE(launched);
  if (launched) {
    Release("go");  // reached only because the output was taken
    MonitorConnection connection = Connect();
    auto status = connection.GetStatus(Bound());
    EXPECT_TRUE(status && status->dropped > 90000) << (status ? status->dropped : 0);
    EXPECT_EQ(mount("none", disk.c_str(), "tmpfs", MS_REMOUNT, "size=64m"), 0);
    Release("end");
    const auto record = Finish(*launched);
    EXPECT_TRUE(record && record->dropped > 90000);
    const auto records = Records(base::ReadFile(options.log).value_or(""));
    size_t said = 0;
    for (const auto& line : records) {
      EXPECT_TRUE(line.starts_with("std")) << line;
      if (line.ends_with("log records were dropped: No space left on device")) ++said;
    }
    EXPECT_GE(said, 1u);
    EXPECT_EQ(records.front(), "stdout F 1");
  }
  EXPECT_EQ(umount2(disk.c_str(), MNT_DETACH), 0);
}

}  // namespace
}  // namespace berth::conmon
