// berth itself as the client: exec, attach and port-forward for people.
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/strings.h"
#include "tests/e2e/harness/streaming.h"

namespace berth::e2e {
namespace {

// The client for people.
class StreamingClient : public SleepingNode {
 protected:
  // A terminal of 33 rows and 91 columns, with berth in it.
  struct InTerminal {
    base::Child child;
    base::UniqueFd master;
    std::string text;
  };
  InTerminal StartInTerminal(std::vector<std::string> arguments) {
    InTerminal out;
    out.master.Reset(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    EXPECT_EQ(grantpt(out.master.get()), 0);
    EXPECT_EQ(unlockpt(out.master.get()), 0);
    SetSize(out, 33, 91);
    const base::UniqueFd slave(open(ptsname(out.master.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    base::SpawnOptions spawn = Berth(std::move(arguments));
    // Only the controlling terminal tells of its new size. A session cannot be made by who leads a group.
    spawn.arguments.insert(spawn.arguments.begin(), {"setsid", "--ctty", spawn.program.native()});
    spawn.arguments.erase(spawn.arguments.begin() + 3);
    spawn.program = "/usr/bin/setsid";
    spawn.new_group = false;
    spawn.fds = {{slave.get(), 0}, {slave.get(), 1}, {slave.get(), 2}};
    auto child = base::Spawn(spawn);
    EXPECT_TRUE(child) << child.error().Text();
    out.child = *std::move(child);
    return out;
  }
  static void SetSize(const InTerminal& terminal, unsigned short rows, unsigned short columns) {
    winsize size{};
    size.ws_row = rows;
    size.ws_col = columns;
    EXPECT_EQ(ioctl(terminal.master.get(), TIOCSWINSZ, &size), 0);
  }
  static bool Read(InTerminal& terminal, const std::string& wanted) {
    const auto context = base::Context().WithTimeout(std::chrono::seconds(30));
    while (terminal.text.find(wanted) == std::string::npos) {
      if (!context.Wait(terminal.master.get(), POLLIN, "terminal")) return false;
      char piece[4096];
      const ssize_t got = read(terminal.master.get(), piece, sizeof piece);
      if (got <= 0) return false;
      terminal.text.append(piece, static_cast<size_t>(got));
    }
    return true;
  }
};
ON_EVERY_RUNTIME(StreamingClient);

TEST_P(StreamingClient, ExecPassesStreamsAndTheCode) {
  auto ran = base::Run(
      {.spawn = Berth({"exec", "-i", made_.container, "sh", "-c", "cat; echo err >&2; exit 9"}), .input = "text"},
      base::Context().WithTimeout(std::chrono::seconds(60)));
  ASSERT_TRUE(ran);
  EXPECT_EQ(ran->output, "text");
  EXPECT_EQ(ran->errors, "err\n");
  EXPECT_EQ(ran->exit.code, 9);
}

TEST_P(StreamingClient, ExecGivesTheCommandOurTerminal) {
  InTerminal terminal = StartInTerminal({"exec", "-it", made_.container, "sh"});
  ASSERT_EQ(write(terminal.master.get(), "stty size; exit 4\r", 18), 18);
  EXPECT_TRUE(Read(terminal, "33 91\r\n")) << terminal.text;
  EXPECT_EQ(WaitFor(terminal.child).code, 4);
}

TEST_P(StreamingClient, CommandHearsOfTheTerminalsNewSize) {
  InTerminal terminal = StartInTerminal({"exec", "-it", made_.container, "sh", "-c",
                                         "trap 'echo now $(stty size)' WINCH; until [ \"$(stty size)\" = '33 91' ]; do "
                                         "sleep 0.1; done; echo ready; while :; do sleep 0.1; done"});
  ASSERT_TRUE(Read(terminal, "ready")) << terminal.text;
  SetSize(terminal, 44, 120);
  EXPECT_TRUE(Read(terminal, "now 44 120")) << terminal.text;
  SetSize(terminal, 20, 60);
  EXPECT_TRUE(Read(terminal, "now 20 60")) << terminal.text;
  ASSERT_EQ(write(terminal.master.get(), "\x03", 1), 1);
  EXPECT_EQ(WaitFor(terminal.child).code, 130);
}

TEST_P(StreamingClient, ControlCGoesToTheCommand) {
  InTerminal terminal = StartInTerminal({"exec", "-it", made_.container, "sh", "-c",
                                         "trap 'echo caught; exit 6' INT; echo ready; while :; do sleep 0.1; done"});
  ASSERT_TRUE(Read(terminal, "ready"));
  ASSERT_EQ(write(terminal.master.get(), "\x03", 1), 1);
  EXPECT_TRUE(Read(terminal, "caught"));
  EXPECT_EQ(WaitFor(terminal.child).code, 6);
}

TEST_P(StreamingClient, DetachKeysEndAttachAndNothingElse) {
  Made made = RunContainer(Sh("echo ready; read x; echo got $x; while :; do sleep 0.1; done"),
                           [](auto&, v1::ContainerConfig& config) {
                             config.set_tty(true);
                             config.set_stdin(true);
                           });
  InTerminal terminal = StartInTerminal({"attach", "-it", made.container});
  ASSERT_EQ(write(terminal.master.get(), "word\r", 5), 5);
  ASSERT_TRUE(Read(terminal, "got word")) << terminal.text;
  ASSERT_EQ(write(terminal.master.get(), "\x10\x11", 2), 2);
  EXPECT_EQ(WaitFor(terminal.child).code, 0);
  EXPECT_EQ(cri().Status(made.container)->status().state(), v1::CONTAINER_RUNNING);
}

TEST_P(StreamingClient, PortForwardCarriesConnections) {
  Made made = RunContainer(Sh("nc -ll -p 7007 -e cat"));
  ASSERT_TRUE(Eventually([&] {
    return cri().Exec(made.container, Sh("cat /proc/net/tcp /proc/net/tcp6 | grep -c ':1B5F .* 0A ' || :"))->stdout() !=
           "0\n";
  }));
  Beside client = Start(Berth({"port-forward", made.pod, "0:7007"}));
  ASSERT_TRUE(client.Read("to port 7007"));
  const size_t colon = client.text.find(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(client.text.substr(colon + 1))));
  for (int i = 0; i < 20; ++i) {
    const base::UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_TRUE(base::WriteAll(fd.get(), "hello", "socket"));
    ASSERT_EQ(shutdown(fd.get(), SHUT_WR), 0);
    const auto answer = base::ReadAll(fd.get(), 100, "socket");
    ASSERT_TRUE(answer);
    EXPECT_EQ(*answer, "hello");
  }
  ASSERT_TRUE(client.child.Signal(SIGTERM));
  EXPECT_EQ(WaitFor(client.child).code, 0);
}

}  // namespace
}  // namespace berth::e2e
