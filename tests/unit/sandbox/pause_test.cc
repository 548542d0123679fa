#include "sandbox/pause.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "base/child.h"
#include "base/strings.h"
#include "kernel/cgroup.h"

namespace berth::sandbox {
namespace {

const base::Context kLong = base::Context().WithTimeout(std::chrono::seconds(60));

// A process of the pod: root with a proc of its own, as a container has it. `capabilities` as setpriv writes a bounding
// set.
base::Result<base::RunResult> RunInPod(const Pause& pause, const std::string& capabilities, const std::string& script) {
  const std::string inner =
      "mount -t proc proc /proc && exec setpriv --inh-caps=-all --bounding-set=" + capabilities + " sh -c \"$0\"";
  return base::Run({.spawn = {.program = "/usr/bin/nsenter",
                              .arguments = {"nsenter", base::Cat("--pid=/proc/", pause.process.pid, "/ns/pid"),
                                            "unshare", "--mount", "sh", "-c", inner, script},
                              .environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}}},
                   kLong);
}
constexpr const char* kContainerCapabilities =
    "-all,+chown,+dac_override,+fsetid,+fowner,+mknod,+net_raw,+setgid,+setuid,+setfcap,+setpcap,+net_bind_service,+"
    "sys_chroot,+kill,+audit_write";

class PauseTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "namespaces and cgroups need root";
    auto tree = kernel::CgroupTree::Detect();
    if (!tree) GTEST_SKIP() << tree.error().message;
    tree_ = *tree;
    const base::Path group = "/berth-test-" + base::RandomId().substr(0, 16);
    const base::Status made = tree_.Create(group);
    if (!made && made.error().err == EROFS) GTEST_SKIP() << "cgroups are read-only here";
    ASSERT_TRUE(made) << made.error().message;
    group_ = group;
    auto pause = LaunchPause(BERTH_PAUSE, {}, [this](pid_t pid) { return tree_.AddProcess(group_, pid); });
    ASSERT_TRUE(pause) << pause.error().message;
    pause_ = *std::move(pause);
  }
  void TearDown() override {
    if (group_.empty()) return;
    EXPECT_TRUE(tree_.Kill(group_));
    if (pause_.child.pid() > 0) {
      EXPECT_TRUE(pause_.child.Wait(kLong, "berth-pause"));
    }
    EXPECT_TRUE(tree_.WaitEmpty(group_, kLong));
    const base::Status removed = tree_.Remove(group_);
    EXPECT_TRUE(removed) << removed.error().message;
  }

  kernel::CgroupTree tree_;
  base::Path group_;
  Pause pause_;
};

TEST_F(PauseTest, IsPid1OfItsNamespaceAndInTheGroup) {
  const auto run = RunInPod(pause_, "+all", "cat /proc/1/comm");
  ASSERT_TRUE(run) << run.error().message;
  EXPECT_EQ(run->output, "berth-pause\n") << run->errors;
  const auto processes = tree_.Processes(group_);
  ASSERT_TRUE(processes);
  EXPECT_EQ(*processes, std::vector<pid_t>{pause_.process.pid});
}

TEST_F(PauseTest, HasNoIdentityCapabilityOrDescriptor) {
  const auto run =
      RunInPod(pause_, "+all", "grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs):' /proc/1/status; ls /proc/1/fd");
  ASSERT_TRUE(run) << run.error().message;
  EXPECT_EQ(run->output,
            "Uid:\t65534\t65534\t65534\t65534\n"
            "Gid:\t65534\t65534\t65534\t65534\n"
            "Groups:\t \n"
            "CapInh:\t0000000000000000\n"
            "CapPrm:\t0000000000000000\n"
            "CapEff:\t0000000000000000\n"
            "CapBnd:\t0000000000000000\n"
            "CapAmb:\t0000000000000000\n"
            "NoNewPrivs:\t1\n")
      << run->errors;
}

TEST_F(PauseTest, RootOfAContainerCannotFollowItsLinks) {
  const auto run =
      RunInPod(pause_, kContainerCapabilities,
               "for name in root cwd exe fd/0 ns/mnt map_files; do readlink /proc/1/$name && echo seen $name; done; "
               "ls /proc/1/root/ && echo seen; cat /proc/1/environ && echo seen; id -u");
  ASSERT_TRUE(run) << run.error().message;
  EXPECT_EQ(run->output, "0\n") << run->errors;
}

TEST_F(PauseTest, AnotherUserWithItsIdCannotEither) {
  const auto run = RunInPod(pause_, kContainerCapabilities,
                            "exec setpriv --reuid=65534 --regid=65534 --clear-groups ls /proc/1/root/ /proc/1/cwd/");
  ASSERT_TRUE(run) << run.error().message;
  EXPECT_NE(run->exit.code, 0);
  EXPECT_EQ(run->output, "");
}

TEST_F(PauseTest, EvenAllCapabilitiesFindNothingBehindIt) {
  const auto run =
      RunInPod(pause_, "+all",
               "ls -A /proc/1/root/ /proc/1/cwd/; touch /proc/1/root/x || echo read-only; wc -l </proc/1/mountinfo");
  ASSERT_TRUE(run) << run.error().message;
  EXPECT_EQ(run->output, "/proc/1/cwd/:\n\n/proc/1/root/:\nread-only\n1\n") << run->errors;
}

// CVE-2019-5736's way: the host's program, reached and overwritten through /proc/PID/exe.
TEST_F(PauseTest, ItsProgramCannotBeWrittenThroughProc) {
  // Not opened for writing, which is refused anyhow as long as the program runs.
  const auto run = RunInPod(pause_, "+all", "touch -c /proc/1/exe");
  ASSERT_TRUE(run) << run.error().message;
  EXPECT_NE(run->exit.code, 0);
  EXPECT_NE(run->errors.find("Read-only file system"), std::string::npos) << run->errors;
}

TEST_F(PauseTest, ReapsOrphans) {
  // The shell starts the orphan once it is in the group, and leaves; the orphan ends once its stdin does.
  auto input = base::MakePipe();
  auto output = base::MakePipe();
  auto grouped = base::MakePipe();
  ASSERT_TRUE(input && output && grouped);
  auto child =
      base::Spawn({.program = "/usr/bin/nsenter",
                   .arguments = {"nsenter", base::Cat("--pid=/proc/", pause_.process.pid, "/ns/pid"), "--no-fork", "sh",
                                 "-c", "read go <&4; exec 3<&0; sh -c 'read x <&3' & exit 0"},
                   .environment = {"PATH=/usr/bin:/bin"},
                   .fds = {{input->read.get(), 0}, {output->write.get(), 1}, {grouped->read.get(), 4}}});
  ASSERT_TRUE(child);
  ASSERT_TRUE(tree_.AddProcess(group_, child->pid()));
  grouped->write.Reset();
  ASSERT_TRUE(child->Wait(kLong, "nsenter"));
  const auto processes = tree_.Processes(group_);
  ASSERT_TRUE(processes);
  for (const pid_t pid : *processes) {
    if (pid == pause_.process.pid) continue;
    const auto orphan = base::OpenPidfd(pid);
    ASSERT_TRUE(orphan);
    input->write.Reset();
    // POLLHUP comes when it is reaped, not when it ends.
    pollfd fds{orphan->get(), 0, 0};
    const int ready = poll(&fds, 1, 10'000);
    if (ready == 0) GTEST_SKIP() << "this kernel does not tell of a reaped process";
    EXPECT_EQ(ready, 1);
    return;
  }
  FAIL() << "no orphan";
}

TEST_F(PauseTest, EndsOnTermAndInt) {
  ASSERT_TRUE(pause_.child.Signal(SIGCHLD));
  ASSERT_TRUE(pause_.child.Signal(SIGTERM));
  const auto exit = pause_.child.Wait(kLong, "berth-pause");
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->Text(), "exit code 0");
}

TEST(Pause, EndsWhenTheByteNeverComes) {
  auto child = base::Spawn({.program = BERTH_PAUSE, .arguments = {"berth-pause"}});  // stdin is /dev/null
  ASSERT_TRUE(child);
  const auto exit = child->Wait(kLong, "berth-pause");
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->code, 1);
}

TEST(Pause, TellsWhichStepOfItsIsolationFailed) {
  if (geteuid() != 0) GTEST_SKIP() << "shedding capabilities needs root";
  std::array<int, 2> ends{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
  const base::UniqueFd ours(ends[0]);
  base::UniqueFd theirs(ends[1]);
  auto child = base::Spawn({.program = "/usr/bin/setpriv",
                            .arguments = {"setpriv", "--inh-caps=-all", "--bounding-set=-sys_admin", BERTH_PAUSE},
                            .fds = {{theirs.get(), 0}}});
  ASSERT_TRUE(child);
  theirs.Reset();
  ASSERT_EQ(send(ours.get(), "1", 1, 0), 1);
  std::array<char, 64> reply{};
  const ssize_t size = recv(ours.get(), reply.data(), reply.size(), 0);
  ASSERT_GT(size, 1);
  EXPECT_EQ(reply[0], EPERM);
  EXPECT_STREQ(reply.data() + 1, "open_tree");
  const auto exit = child->Wait(kLong, "berth-pause");
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->code, 1);
}

TEST(Pause, LaunchOfAnotherProgramIsAnErrorAndLeavesNothing) {
  if (geteuid() != 0) GTEST_SKIP() << "namespaces and cgroups need root";
  const auto tree = kernel::CgroupTree::Detect();
  if (!tree) GTEST_SKIP() << tree.error().message;
  const base::Path group = "/berth-test-" + base::RandomId().substr(0, 16);
  if (!tree->Create(group)) GTEST_SKIP() << "cgroups cannot be made here";
  const auto pause = LaunchPause("/bin/true", {}, [&](pid_t pid) { return tree->AddProcess(group, pid); });
  EXPECT_FALSE(pause);
  EXPECT_TRUE(tree->WaitEmpty(group, kLong));
  EXPECT_TRUE(tree->Remove(group));
}

TEST(Pause, OneThatCannotBePlacedIsEnded) {
  if (geteuid() != 0) GTEST_SKIP() << "namespaces need root";
  pid_t started = 0;
  const auto pause = LaunchPause(BERTH_PAUSE, {}, [&](pid_t pid) -> base::Status {
    started = pid;
    return base::Fail(base::Code::kUnavailable, "no room");
  });
  ASSERT_FALSE(pause);
  EXPECT_NE(pause.error().message.find("no room"), std::string::npos) << pause.error().message;
  EXPECT_FALSE(base::OpenPidfd(started)) << "it lives on";
}

}  // namespace
}  // namespace berth::sandbox
