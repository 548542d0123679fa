#include "kernel/namespace.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "base/strings.h"
#include "base/unique_fd.h"
#include "kernel/mount.h"
#include "temp_folder.h"

namespace berth::kernel {
namespace {

using base::Code;
using base::Context;

class NamespaceTest : public testing::Test {
 protected:
  void SetUp() override { SKIP_UNLESS_ROOT("making namespaces"); }
  NamespaceRequest All() {
    return {.net = temp_ / "ns/net", .ipc = temp_ / "ns/ipc", .uts = temp_ / "ns/uts", .hostname = "pod-1"};
  }
  void UnpinAll() {
    for (const char* kind : {"net", "ipc", "uts"}) EXPECT_OK(UnpinNamespace(temp_ / "ns" / kind));
  }
  // Runs on a thread that joins the namespace pinned at `path`.
  static void Inside(const base::Path& path, const std::function<void()>& look) {
    std::thread([&] {
      const auto fd = base::Open(path, O_RDONLY);
      ASSERT_OK(fd);
      ASSERT_EQ(setns(fd->get(), 0), 0);
      look();
    }).join();
  }
  TempFolder temp_;
};

TEST_F(NamespaceTest, AllThreeArePinned) {
  ASSERT_OK(CreateNamespaces(All()));
  for (const char* kind : {"net", "ipc", "uts"}) {
    EXPECT_EQ(*IsNamespaceFile(temp_ / "ns" / kind), true);
    struct stat own {};
    struct stat made {};
    ASSERT_EQ(stat(base::Cat("/proc/self/ns/", kind).c_str(), &own), 0);
    ASSERT_EQ(stat((temp_ / "ns" / kind).c_str(), &made), 0);
    EXPECT_NE(own.st_ino, made.st_ino);
  }
  UnpinAll();
  EXPECT_FALSE(base::Exists(temp_ / "ns/net"));
}

TEST_F(NamespaceTest, LoopbackIsUpAndHasItsAddresses) {
  ASSERT_OK(CreateNamespaces({.net = temp_ / "net"}));
  Inside(temp_ / "net", [] {
    const base::UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    memcpy(request.ifr_name, "lo", 3);
    ASSERT_EQ(ioctl(fd.get(), SIOCGIFFLAGS, &request), 0);
    EXPECT_NE(request.ifr_flags & IFF_UP, 0);
    ASSERT_EQ(ioctl(fd.get(), SIOCGIFADDR, &request), 0);
    sockaddr_in address{};
    memcpy(&address, &request.ifr_addr, sizeof address);
    EXPECT_EQ(address.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    if (base::Exists("/proc/sys/net/ipv6")) {
      EXPECT_NE(Contents("/proc/thread-self/net/if_inet6").find("00000000000000000000000000000001"), std::string::npos);
    }
  });
  EXPECT_OK(UnpinNamespace(temp_ / "net"));
}

TEST_F(NamespaceTest, LoopbackStaysDownWhenAsked) {
  ASSERT_OK(CreateNamespaces({.net = temp_ / "net", .loopback_up = false}));
  Inside(temp_ / "net", [] {
    const base::UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    memcpy(request.ifr_name, "lo", 3);
    ASSERT_EQ(ioctl(fd.get(), SIOCGIFFLAGS, &request), 0);
    EXPECT_EQ(request.ifr_flags & IFF_UP, 0);
  });
  EXPECT_OK(UnpinNamespace(temp_ / "net"));
}

TEST_F(NamespaceTest, HostnameIsThePodsAloneAndTheHostKeepsItsOwn) {
  utsname before{};
  uname(&before);
  ASSERT_OK(CreateNamespaces(All()));
  Inside(temp_ / "ns/uts", [] {
    utsname name{};
    uname(&name);
    EXPECT_STREQ(name.nodename, "pod-1");
  });
  utsname after{};
  uname(&after);
  EXPECT_STREQ(before.nodename, after.nodename);
  UnpinAll();
}

TEST_F(NamespaceTest, SysctlsAreSetInsideAndNotOutside) {
  const std::string outside = Contents("/proc/sys/net/ipv4/ip_unprivileged_port_start");
  const std::string outside_shm = Contents("/proc/sys/kernel/shmmni");
  NamespaceRequest request = All();
  request.sysctls = {{"net.ipv4.ip_unprivileged_port_start", "7"},
                     {"net/ipv4/conf/lo/forwarding", "1"},
                     {"kernel.shmmni", "1234"},
                     {"kernel.domainname", "example.test"}};
  ASSERT_OK(CreateNamespaces(request));
  Inside(temp_ / "ns/net", [] {
    EXPECT_EQ(Contents("/proc/sys/net/ipv4/ip_unprivileged_port_start"), "7\n");
    EXPECT_EQ(Contents("/proc/sys/net/ipv4/conf/lo/forwarding"), "1\n");
  });
  Inside(temp_ / "ns/ipc", [] { EXPECT_EQ(Contents("/proc/sys/kernel/shmmni"), "1234\n"); });
  Inside(temp_ / "ns/uts", [] { EXPECT_EQ(Contents("/proc/sys/kernel/domainname"), "example.test\n"); });
  EXPECT_EQ(Contents("/proc/sys/net/ipv4/ip_unprivileged_port_start"), outside);
  EXPECT_EQ(Contents("/proc/sys/kernel/shmmni"), outside_shm);
  UnpinAll();
}

TEST_F(NamespaceTest, UnknownSysctlFailsAndLeavesNothing) {
  NamespaceRequest request = All();
  request.sysctls = {{"net.ipv4.no_such_thing", "1"}};
  const base::Status status = CreateNamespaces(request);
  ASSERT_FALSE(status.has_value());
  EXPECT_NE(status.error().message.find("no_such_thing"), std::string::npos);
  EXPECT_FALSE(base::Exists(temp_ / "ns/net"));
}

TEST_F(NamespaceTest, SysctlOfNamespaceSharedWithHostIsRefused) {
  EXPECT_CODE(CreateNamespaces({.ipc = temp_ / "ipc", .sysctls = {{"net.ipv4.ip_forward", "1"}}}),
              Code::kInvalidArgument);
  EXPECT_CODE(CreateNamespaces({.net = temp_ / "net", .sysctls = {{"kernel.shmmax", "1"}}}), Code::kInvalidArgument);
  EXPECT_CODE(CreateNamespaces({.net = temp_ / "net", .hostname = "x"}), Code::kInvalidArgument);
  EXPECT_FALSE(base::Exists(temp_ / "net"));
}

TEST_F(NamespaceTest, OverlongHostnameIsRefused) {
  NamespaceRequest request = All();
  request.hostname = std::string(65, 'h');
  EXPECT_CODE(CreateNamespaces(request), Code::kInvalidArgument);
}

TEST_F(NamespaceTest, FailureInTheMiddleUnpinsWhatWasPinned) {
  temp_.Folder("ns");
  temp_.File("ns/uts", "in the way");
  EXPECT_CODE(CreateNamespaces(All()), Code::kAlreadyExists);
  EXPECT_FALSE(base::Exists(temp_ / "ns/net"));
  EXPECT_FALSE(base::Exists(temp_ / "ns/ipc"));
  EXPECT_EQ(Contents(temp_ / "ns/uts"), "in the way");
}

TEST_F(NamespaceTest, NothingAskedForIsNothingMade) {
  EXPECT_OK(CreateNamespaces({}));
}

TEST_F(NamespaceTest, UnpinIsIdempotent) {
  EXPECT_OK(UnpinNamespace(temp_ / "absent"));
  EXPECT_OK(UnpinNamespace(temp_.File("never-mounted")));
  EXPECT_FALSE(base::Exists(temp_ / "never-mounted"));
}

TEST_F(NamespaceTest, OrdinaryFileIsNoNamespace) {
  EXPECT_EQ(*IsNamespaceFile(temp_.File("file")), false);
  EXPECT_EQ(*IsNamespaceFile(temp_ / "absent"), false);
  EXPECT_EQ(*IsNamespaceFile("/proc/self/ns/net"), true);
}

TEST_F(NamespaceTest, NetnsFolderIsSharedOnceAndPinsInItAreSeenElsewhere) {
  const base::Path folder = temp_ / "netns";
  ASSERT_OK(PrepareNetnsFolder(folder));
  ASSERT_OK(PrepareNetnsFolder(folder));
  EXPECT_TRUE(PropagationOf(folder)->shared);
  EXPECT_EQ(PropagationOf(folder)->mount, folder);
  std::atomic<int> stage = 0;
  std::jthread other([&] {
    EXPECT_EQ(unshare(CLONE_FS | CLONE_NEWNS), 0);
    stage = 1;
    stage.notify_all();
    stage.wait(1);
    EXPECT_EQ(*IsMountPoint(folder / "pod"), true);
    stage = 3;
    stage.notify_all();
    stage.wait(3);
    EXPECT_EQ(*IsMountPoint(folder / "pod"), false);
  });
  stage.wait(0);
  EXPECT_OK(CreateNamespaces({.net = folder / "pod"}));
  stage = 2;
  stage.notify_all();
  stage.wait(2);
  EXPECT_OK(UnpinNamespace(folder / "pod"));
  stage = 4;
  stage.notify_all();
  other.join();
  EXPECT_OK(Unmount(folder));
  const auto mounts = Mounts();
  ASSERT_OK(mounts);
  for (const MountPoint& mount : *mounts) EXPECT_NE(mount.target, folder);
}

TEST_F(NamespaceTest, RunInNetNsRunsInsideAndReturnsItsResult) {
  ASSERT_OK(CreateNamespaces({.net = temp_ / "net"}));
  struct stat wanted {};
  ASSERT_EQ(stat((temp_ / "net").c_str(), &wanted), 0);
  ino_t inside = 0;
  EXPECT_OK(RunInNetNs(
      temp_ / "net",
      [&]() -> base::Status {
        struct stat seen {};
        stat("/proc/thread-self/ns/net", &seen);
        inside = seen.st_ino;
        return {};
      },
      Context()));
  EXPECT_EQ(inside, wanted.st_ino);
  EXPECT_CODE(RunInNetNs(
                  temp_ / "net", [] { return base::Status(base::Fail(Code::kNotFound, "x")); }, Context()),
              Code::kNotFound);
  EXPECT_OK(UnpinNamespace(temp_ / "net"));
}

TEST_F(NamespaceTest, RunInNetNsReturnsAtTheDeadline) {
  ASSERT_OK(CreateNamespaces({.net = temp_ / "net"}));
  auto gate = std::make_shared<std::atomic<bool>>(false);
  auto left = std::make_shared<std::atomic<bool>>(false);
  EXPECT_CODE(RunInNetNs(
                  temp_ / "net",
                  [gate, left]() -> base::Status {
                    gate->wait(false);
                    *left = true;
                    left->notify_all();
                    return {};
                  },
                  Context().WithTimeout(std::chrono::milliseconds(20))),
              Code::kDeadlineExceeded);
  *gate = true;
  gate->notify_all();
  left->wait(false);
  EXPECT_OK(UnpinNamespace(temp_ / "net"));
}

TEST_F(NamespaceTest, RunInMissingNetNsIsNotFound) {
  EXPECT_CODE(RunInNetNs(
                  temp_ / "absent", [] { return base::Status(); }, Context()),
              Code::kNotFound);
  EXPECT_CODE(RunInNetNs(
                  temp_.File("file"), [] { return base::Status(); }, Context()),
              Code::kNotFound);
}

TEST(Sysctl, DotsAndSlashesNameTheSameFile) {
  const std::pair<const char*, const char*> table[] = {
      {"net.ipv4.ip_forward", "net/ipv4/ip_forward"},
      {"net/ipv4/ip_forward", "net/ipv4/ip_forward"},
      {"net.ipv4.conf.eth0/100.forwarding", "net/ipv4/conf/eth0.100/forwarding"},
      {"net/ipv4/conf/eth0.100/forwarding", "net/ipv4/conf/eth0.100/forwarding"},
      {"kernel.shm_rmid_forced", "kernel/shm_rmid_forced"},
      {"kernel.msgmax", "kernel/msgmax"},
      {"kernel.sem", "kernel/sem"},
      {"fs.mqueue.msg_max", "fs/mqueue/msg_max"},
      {"kernel.domainname", "kernel/domainname"}};
  for (const auto& [name, file] : table) {
    const auto sysctl = ParseSysctl(name);
    ASSERT_TRUE(sysctl.has_value()) << name;
    EXPECT_EQ(sysctl->file, file);
  }
}

TEST(Sysctl, OthersAreRefusedByName) {
  for (const char* name : {"", "net", "net.", "kernel.hostname", "kernel.panic", "kernel.sem_next_id", "vm.swappiness",
                           "fs.file-max", "fs.mqueue", "net..ipv4", "net/../kernel/panic", "net.//.kernel.panic",
                           "/net/x", "net.a b", "net.a\n", "kernel.shm/../panic", "kernel.shmx.y", "../net/x"}) {
    const auto sysctl = ParseSysctl(name);
    ASSERT_FALSE(sysctl.has_value()) << name;
    EXPECT_EQ(sysctl.error().code, Code::kInvalidArgument);
    EXPECT_NE(sysctl.error().message.find(name), std::string::npos);
  }
}

}  // namespace
}  // namespace berth::kernel
