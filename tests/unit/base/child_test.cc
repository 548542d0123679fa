#include "base/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <future>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/executor.h"
#include "tests/unit/base/children.h"

namespace berth::base {
namespace {

// Both ways to be born: posix_spawn, and clone3 into a cgroup.
class Born : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (!GetParam()) return;
    cgroup_ = OwnCgroup();
    if (!cgroup_) GTEST_SKIP() << "no v2 cgroup hierarchy here";
  }
  SpawnOptions Options(std::string script) {
    SpawnOptions options = Shell(std::move(script));
    options.cgroup = cgroup_.get();
    return options;
  }

 private:
  UniqueFd cgroup_;
};
INSTANTIATE_TEST_SUITE_P(Child, Born, testing::Bool(),
                         [](const auto& chosen) { return chosen.param ? "InCgroup" : "Plain"; });

TEST_P(Born, OnlyNamedDescriptorsReachIt) {
  const auto null = Open("/dev/null", O_RDONLY);
  ASSERT_TRUE(null);
  const UniqueFd leaky(fcntl(null->get(), F_DUPFD, 77));  // close-on-exec forgotten, as a library may
  ASSERT_TRUE(leaky);
  SpawnOptions options = Options(kReady);
  options.fds.emplace_back(null->get(), 5);
  const Ready ready = StartReady(std::move(options));
  auto names = ListFolder(Cat("/proc/", ready.child.pid(), "/fd"));
  ASSERT_TRUE(names);
  std::sort(names->begin(), names->end());
  EXPECT_EQ(*names, (std::vector<std::string>{"0", "1", "2", "5"}));
}

TEST_P(Born, StandardStreamsThatAreNotNamedAreNull) {
  auto child = Spawn(Options(
      "[ /proc/self/fd/0 -ef /dev/null ] && [ /proc/self/fd/1 -ef /dev/null ] && [ /proc/self/fd/2 -ef /dev/null ]"));
  ASSERT_TRUE(child) << child.error().Text();
  EXPECT_EQ(child->Wait(Bounded(), "child")->code, 0);
}

TEST_P(Born, NumbersMayBeExchanged) {
  auto first = MakePipe();
  auto second = MakePipe();
  ASSERT_TRUE(first && second);
  SpawnOptions options =
      Options(base::Cat("echo first >&", second->write.get(), "; echo second >&", first->write.get()));
  options.fds = {{first->write.get(), second->write.get()}, {second->write.get(), first->write.get()}};
  auto child = Spawn(options);
  ASSERT_TRUE(child) << child.error().Text();
  first->write.Reset();
  second->write.Reset();
  EXPECT_EQ(ReadLine(first->read.get()), "first");
  EXPECT_EQ(ReadLine(second->read.get()), "second");
}

// glibc keeps 32 and 33 to itself: only the bare call ignores them, as a parent that is no C program may have done.
class IgnoresSignals {
 public:
  IgnoresSignals() {
    Set(SIGPIPE, SIG_IGN);
    Set(32, SIG_IGN);
    Set(33, SIG_IGN);
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &blocked, &before_);
  }
  ~IgnoresSignals() {
    for (const auto& [signal, old] : old_) syscall(SYS_rt_sigaction, signal, &old, nullptr, 8);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  struct KernelAction {
    void (*handler)(int) = nullptr;
    unsigned long flags = 0;
    void (*restorer)() = nullptr;
    unsigned long mask = 0;
  };
  void Set(int signal, void (*handler)(int)) {
    const KernelAction action{.handler = handler};
    KernelAction old;
    EXPECT_EQ(syscall(SYS_rt_sigaction, signal, &action, &old, 8), 0);
    old_.emplace_back(signal, old);
  }
  std::vector<std::pair<int, KernelAction>> old_;
  sigset_t before_{};
};

TEST_P(Born, NoSignalIsIgnoredOrBlocked) {
  const IgnoresSignals ignores;
  ASSERT_NE(StatusField(getpid(), "SigIgn").find_first_not_of('0'), std::string::npos);
  // Not a shell: it could change them itself.
  auto in = MakePipe();
  ASSERT_TRUE(in);
  SpawnOptions options = Options("");
  options.program = "/bin/cat";
  options.arguments = {"cat"};
  options.fds.emplace_back(in->read.get(), 0);
  auto child = Spawn(options);
  ASSERT_TRUE(child) << child.error().Text();
  EXPECT_EQ(StatusField(child->pid(), "SigIgn"), "0000000000000000");
  EXPECT_EQ(StatusField(child->pid(), "SigBlk"), "0000000000000000");
}

TEST_P(Born, ProgramThatIsNotThereIsAnError) {
  SpawnOptions options = Options("");
  options.program = "/nowhere/program";
  const auto child = Spawn(options);
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().err, ENOENT);
  EXPECT_EQ(child.error().message, "start /nowhere/program: No such file or directory");
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD) << "a zombie is left";
}

TEST_P(Born, GroupsAndSessionsAreItsOwn) {
  SpawnOptions options = Options(kReady);
  const Ready group = StartReady(options);
  EXPECT_EQ(getpgid(group.child.pid()), group.child.pid());
  EXPECT_EQ(getsid(group.child.pid()), getsid(0));
  options.new_session = true;
  const Ready session = StartReady(options);
  EXPECT_EQ(getsid(session.child.pid()), session.child.pid());
  options.new_session = options.new_group = false;
  const Ready neither = StartReady(options);
  EXPECT_EQ(getpgid(neither.child.pid()), getpgid(0));
}

TEST_P(Born, EnvironmentIsWhatWasGiven) {
  auto out = MakePipe();
  ASSERT_TRUE(out);
  SpawnOptions options = Options("");
  options.program = "/usr/bin/env";
  options.arguments = {"env"};
  options.environment = {"A=1", "B=two words"};
  options.fds.emplace_back(out->write.get(), 1);
  auto child = Spawn(options);
  ASSERT_TRUE(child) << child.error().Text();
  out->write.Reset();
  EXPECT_EQ(ReadAll(out->read.get(), 1000, "env").value_or("?"), "A=1\nB=two words\n");
}

TEST(Child, TellsHowItEnded) {
  auto exits = Spawn(Shell("exit 3"));
  auto dies = Spawn(Shell("kill -TERM $$"));
  ASSERT_TRUE(exits && dies);
  const auto code = exits->Wait(Bounded(), "child");
  ASSERT_TRUE(code);
  EXPECT_EQ(code->Text(), "exit code 3");
  const auto signal = dies->Wait(Bounded(), "child");
  ASSERT_TRUE(signal);
  EXPECT_EQ(signal->code, 128 + SIGTERM);
  EXPECT_EQ(signal->Text(), "signal 15");
}

TEST(Child, IsStillOursWhenTheContextEndsFirst) {
  Ready ready = StartReady(Shell(kReady));
  const auto ended = ready.child.Wait(Context().WithTimeout(std::chrono::milliseconds(1)), "the child");
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, Code::kDeadlineExceeded);
  EXPECT_EQ(ended.error().message, "the child: deadline exceeded");
  ready.input.Reset();
  EXPECT_TRUE(ready.child.Wait(Bounded(), "child"));
}

TEST(Child, EndsWithItsGroupWhenDestroyed) {
  UniqueFd background;
  pid_t pid = -1;
  {
    const Ready ready = StartReady(Shell("sleep 1000 & echo ready; echo $!; wait"));
    pid = ready.child.pid();
    background =
        OpenPidfd(static_cast<pid_t>(ParseInt(ReadLine(ready.output.get())).value_or(-1))).value_or(UniqueFd());
    ASSERT_TRUE(background);
  }
  EXPECT_TRUE(Ends(background.get()));
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), -1) << "reaped already";
}

TEST(Child, LivesOnWhenReleased) {
  pid_t pid = -1;
  UniqueFd pidfd;
  Ready ready = StartReady(Shell(kReady));
  {
    Child child = std::move(ready.child);
    pid = child.pid();
    pidfd = child.Release();
  }
  EXPECT_EQ(kill(pid, 0), 0);
  ready.input.Reset();
  ASSERT_TRUE(Ends(pidfd.get()));
  EXPECT_EQ(waitpid(pid, nullptr, 0), pid);
}

TEST(Child, AssignmentEndsTheOldOne) {
  Ready first = StartReady(Shell(kReady));
  Ready second = StartReady(Shell(kReady));
  const auto old = OpenPidfd(first.child.pid());
  ASSERT_TRUE(old);
  const pid_t pid = second.child.pid();
  first.child = std::move(second.child);
  EXPECT_TRUE(Ends(old->get()));
  EXPECT_EQ(first.child.pid(), pid);
}

TEST(Child, SignalToOneThatIsGoneIsSuccess) {
  Ready ready = StartReady(Shell(kReady));
  auto pidfd = OpenPidfd(ready.child.pid());
  ASSERT_TRUE(pidfd);
  ready.input.Reset();
  ASSERT_TRUE(ready.child.Wait(Bounded(), "child"));
  EXPECT_TRUE(SignalPidfd(pidfd->get(), SIGTERM).has_value());
  EXPECT_EQ(ready.child.pid(), -1);
}

TEST(OpenProcess, WantsTheRightStartTime) {
  const Ready ready = StartReady(Shell(kReady));
  const auto start = ProcessStartTime(ready.child.pid());
  ASSERT_TRUE(start) << start.error().Text();
  EXPECT_TRUE(OpenProcess(ready.child.pid(), *start));
  const auto other = OpenProcess(ready.child.pid(), *start + 1);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().err, ESRCH);
}

TEST(ProcessStartTime, OfNoProcessIsAnError) {
  pid_t pid = -1;
  {
    Ready ready = StartReady(Shell(kReady));
    pid = ready.child.pid();
  }
  const auto start = ProcessStartTime(pid);
  ASSERT_FALSE(start);
  EXPECT_TRUE(start.error().err == ENOENT || start.error().err == ESRCH) << start.error().Text();
}

TEST(KillDescendants, ReachesGrandchildrenAndSparesTheRoot) {
  Ready ready = StartReady(Shell("sh -c 'sleep 1000 & echo ready; echo $!; wait'; read line; exit 7"));
  auto grandchild = OpenPidfd(static_cast<pid_t>(ParseInt(ReadLine(ready.output.get())).value_or(-1)));
  ASSERT_TRUE(grandchild);
  KillDescendants(ready.child.pid());
  EXPECT_TRUE(Ends(grandchild->get()));
  ready.input.Reset();
  const auto exit = ready.child.Wait(Bounded(), "root");
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->code, 7);
}

TEST(KillDescendants, ReachesChildrenOfEveryThread) {
  std::promise<Result<Child>> started;
  std::promise<void> let_go;
  std::jthread other([&] {
    started.set_value(Spawn(Shell("exec sleep 1000")));
    let_go.get_future().wait();  // the thread that started it must live for it to be its child
  });
  Result<Child> child = started.get_future().get();
  KillDescendants(getpid());
  EXPECT_TRUE(child);
  const auto exit = child ? child->Wait(Bounded(), "child") : base::Result<ExitStatus>();
  EXPECT_EQ(exit->signal, SIGKILL);
  let_go.set_value();
  other.join();
}

// A container chooses how deep its processes stand; the daemon's threads have small stacks.
TEST(KillDescendants, ReachesTheEndOfALongChain) {
  const std::string each =
      R"(if [ $1 -gt 0 ]; then sh -c "$0" "$0" $(($1 - 1)); else echo ready; echo $$; sleep 1000; fi; :)";
  SpawnOptions options = Shell(each);
  options.arguments.insert(options.arguments.end(), {each, "800"});
  const Ready ready = StartReady(std::move(options));
  const auto last = OpenPidfd(static_cast<pid_t>(ParseInt(ReadLine(ready.output.get())).value_or(-1)));
  ASSERT_TRUE(last);
  {
    Executor thread({.name = "small", .threads = 1, .queue = 1, .stack_bytes = 256 << 10});
    ASSERT_TRUE(thread.Submit([&] { KillDescendants(ready.child.pid()); }));
  }
  EXPECT_TRUE(Ends(last->get()));
}

TEST(Spawn, FromManyThreadsAtOnceKeepsDescriptorsApart) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([i] {
      for (int j = 0; j < 10; ++j) {
        const auto result = base::Run({.spawn = Shell("cat"), .input = Cat("text ", i, " ", j)}, Bounded());
        ASSERT_TRUE(result) << result.error().Text();
        EXPECT_EQ(result->output, Cat("text ", i, " ", j));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace berth::base
