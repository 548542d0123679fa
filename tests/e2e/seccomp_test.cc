// A seccomp profile whose calls an agent decides over, by SCMP_ACT_NOTIFY and listenerPath.
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "base/unique_fd.h"
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using base::Cat;
using base::UniqueFd;
using testing::HasSubstr;

constexpr int kWait = 60'000;  // ms, against hanging

// Takes one listener from the OCI runtime and answers each of its calls with ENOTUNIQ, until the container has ended.
class Agent {
 public:
  explicit Agent(const base::Path& socket) : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    socket.native().copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(::listen(socket_.get(), 1), 0);
    thread_ = std::thread([this] { Serve(); });
  }
  // Waits for the container's end.
  std::string StateAfterTheEnd() {
    thread_.join();
    return state_;
  }
  int answered() const { return answered_; }

 private:
  static bool Readable(int fd) {
    pollfd wait{fd, POLLIN, 0};
    return ::poll(&wait, 1, kWait) == 1 && (wait.revents & POLLIN) != 0;
  }
  UniqueFd TakeListener() {
    if (!Readable(socket_.get())) return {};
    const UniqueFd peer(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    char text[16384];
    alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))];
    iovec data{text, sizeof(text)};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    if (!Readable(peer.get())) return {};
    const ssize_t length = ::recvmsg(peer.get(), &message, MSG_CMSG_CLOEXEC);
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (length <= 0 || header == nullptr) return {};
    state_.assign(text, static_cast<size_t>(length));
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof(fd));
    return UniqueFd(fd);
  }
  void Serve() {
    const UniqueFd listener = TakeListener();
    if (!listener) return;
    // Hangs up when nobody is left whom the filter holds.
    while (Readable(listener.get())) {
      seccomp_notif call{};
      if (::ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) continue;
      seccomp_notif_resp answer{.id = call.id, .val = 0, .error = -ENOTUNIQ, .flags = 0};
      if (::ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0) ++answered_;
    }
  }

  UniqueFd socket_;
  std::string state_;
  int answered_ = 0;
  std::thread thread_;
};

class Seccomp : public OnRuntime {};
ON_EVERY_RUNTIME(Seccomp);

TEST_P(Seccomp, AgentDecidesOverTheCallsThatTheProfileLeavesToIt) {
  const base::Path socket = folder() / "agent.sock", profile = folder() / "notify.json";
  ASSERT_STATUS_OK(base::WriteFile(
      profile,
      Cat(R"({"defaultAction":"SCMP_ACT_ALLOW","listenerPath":")", socket.native(),
          R"(","listenerMetadata":"for the agent","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_NOTIFY"}]})"),
      0644));
  Agent agent(socket);
  const Made made =
      RunContainer(Sh("mkdir /tmp/x 2>&1; true"), [&](v1::PodSandboxConfig&, v1::ContainerConfig& config) {
        auto* seccomp = config.mutable_linux()->mutable_security_context()->mutable_seccomp();
        seccomp->set_profile_type(v1::SecurityProfile::Localhost);
        seccomp->set_localhost_ref(profile.native());
      });
  WaitExited(made.container);
  const std::string state = agent.StateAfterTheEnd();
  EXPECT_THAT(state, HasSubstr("for the agent"));
  EXPECT_THAT(state, HasSubstr(made.container));
  EXPECT_EQ(agent.answered(), 1);
  EXPECT_THAT(LogText(made.log()), HasSubstr("Name not unique"));
}

}  // namespace
}  // namespace berth::e2e
