// ExecSync: output, exit code, time-out, and what inherits its pipes.
#include <filesystem>
#include <thread>

#include "base/strings.h"
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

class Exec : public OnRuntime {
 protected:
  void SetUp() override {
    OnRuntime::SetUp();
    if (!IsSkipped() && !HasFatalFailure()) made_ = RunContainer(Sh("trap 'exit 0' TERM; while :; do sleep 0.1; done"));
  }
  Reply<v1::ExecSyncResponse> Run(const std::string& script, int64_t timeout = 30) {
    return cri().Exec(made_.container, Sh(script), timeout);
  }
  // Lines of `ps` inside the container that have `text`.
  std::string Running(const std::string& text) {
    return Run("ps -o args | grep -- '" + text + "' | grep -v grep || :")->stdout();
  }

  Made made_;
};
ON_EVERY_RUNTIME(Exec);

TEST_P(Exec, GivesBothStreamsAndTheCode) {
  auto ran = Run("echo out; echo err >&2; exit 42");
  ASSERT_CALL_OK(ran);
  EXPECT_EQ(ran->stdout(), "out\n");
  EXPECT_EQ(ran->stderr(), "err\n");
  EXPECT_EQ(ran->exit_code(), 42);
}

TEST_P(Exec, BytesAreKeptAsTheyAre) {
  EXPECT_EQ(Run("printf 'a\\000\\377\\r\\n'")->stdout(), std::string("a\0\377\r\n", 5));
}

TEST_P(Exec, HasTheContainersEnvironmentAndNamespaces) {
  auto ran = Run("echo $KUBERNETES_SERVICE_HOST; hostname; cat /proc/1/cmdline | tr '\\0' ' ' | cut -c1-5");
  EXPECT_EQ(ran->stdout(), "10.97.0.1\npod\nsh -c\n");
}

TEST_P(Exec, ProgramThatDoesNotExistIsAnErrorOrItsCode) {
  auto ran = cri().Exec(made_.container, {"/no/such/program"});
  if (ran.ok()) {
    EXPECT_THAT(ran->exit_code(), testing::AnyOf(126, 127));
  }
}

TEST_P(Exec, TimeOutKillsTheProcess) {
  auto ran = cri().Exec(made_.container, {"sleep", "7654"}, 1);
  EXPECT_EQ(ran.code(), grpc::StatusCode::DEADLINE_EXCEEDED) << ran.message();
  EXPECT_TRUE(Eventually([&] { return Running("sleep 7654").empty(); }));
}

TEST_P(Exec, TimeOutReturnsWhateverChildrenHold) {
  auto ran = Run("sleep 8765 & sleep 8765", 1);
  EXPECT_EQ(ran.code(), grpc::StatusCode::DEADLINE_EXCEEDED) << ran.message();
  if (base::Exists("/sys/fs/cgroup/cgroup.controllers")) {
    EXPECT_TRUE(Eventually([&] { return Running("sleep 8765").empty(); }));
  }
}

TEST_P(Exec, ChildThatKeepsThePipeIsNotWaitedForAndLivesOn) {
  auto ran = Run("sleep 6543 & echo done");
  ASSERT_CALL_OK(ran);
  EXPECT_EQ(ran->stdout(), "done\n");
  EXPECT_EQ(ran->exit_code(), 0);
  EXPECT_EQ(Running("sleep 6543"), "sleep 6543\n");
}

// On cgroup v2 each exec has a cgroup of its own below the container's.
class ExecOnV2 : public Exec {
 protected:
  void SetUp() override {
    if (!base::Exists("/sys/fs/cgroup/cgroup.controllers"))
      GTEST_SKIP() << "needs cgroup v2: an exec has no cgroup of its own on v1";
    Exec::SetUp();
  }
  base::Path Cgroup() const {
    std::error_code error;
    for (std::filesystem::recursive_directory_iterator at("/sys/fs/cgroup", error), end; !error && at != end;
         at.increment(error)) {
      const std::string name = at->path().filename();
      if (at->is_directory(error) && name.starts_with("berth-" + made_.container)) return at->path();
    }
    ADD_FAILURE() << "no cgroup is named for the container";
    return {};
  }
  std::vector<std::string> Groups() const {
    std::vector<std::string> groups;
    auto names = base::ListFolder(Cgroup());
    for (const std::string& name : names ? *names : std::vector<std::string>()) {
      if (name.starts_with("berth-exec-")) groups.push_back(name);
    }
    return groups;
  }
};
ON_EVERY_RUNTIME(ExecOnV2);

TEST_P(ExecOnV2, TimeOutReachesWhatHasNoParentInItAnyMore) {
  auto ran = Run("(setsid sh -c 'setsid sleep 4321 >/dev/null 2>&1 & sleep 4321' >/dev/null 2>&1 &); sleep 4321", 2);
  EXPECT_EQ(ran.code(), grpc::StatusCode::DEADLINE_EXCEEDED) << ran.message();
  EXPECT_EQ(Running("sleep 4321"), "");
  EXPECT_THAT(Groups(), IsEmpty());
}

TEST_P(ExecOnV2, GroupStaysAsLongAsWhatTheExecLeftLives) {
  ASSERT_CALL_OK(Run("setsid sleep 3210 >/dev/null 2>&1 &"));
  EXPECT_EQ(Running("sleep 3210"), "sleep 3210\n");
  EXPECT_THAT(Groups(), SizeIs(1));
  Restart();
  EXPECT_EQ(Running("sleep 3210"), "sleep 3210\n");
  EXPECT_EQ(Run("killall sleep")->exit_code(), 0);  // those of the container's first process come again
  EXPECT_TRUE(Eventually([&] {
    (void)Run("true");
    return Groups().empty();
  }));
}

// As an init system in a container does.
TEST_P(ExecOnV2, ContainerThatHasGivenItsControllersToGroupsOfItsOwn) {
  const base::Path cgroup = Cgroup();
  ASSERT_STATUS_OK(base::MakeDirs(cgroup / "inner"));
  ASSERT_TRUE(Eventually([&] {
    const std::string left = base::ReadFile(cgroup / "cgroup.procs").value_or("");
    for (std::string_view pid : base::Split(base::Trim(left), '\n')) {
      if (!pid.empty()) (void)base::WriteKernelFile(cgroup / "inner" / "cgroup.procs", pid);
    }
    return base::WriteKernelFile(cgroup / "cgroup.subtree_control", "+memory +pids").has_value();
  }));
  auto ran = Run("cat /proc/self/cgroup");
  ASSERT_CALL_OK(ran);
  EXPECT_THAT(ran->stdout(), testing::HasSubstr("berth-exec-"));
  EXPECT_EQ(cri().Exec(made_.container, {"sleep", "2109"}, 1).code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(Running("sleep 2109"), "");
  EXPECT_THAT(Groups(), IsEmpty());
}

TEST_P(Exec, OutputAboveTheLimitIsCutAndTheCommandGoesOn) {
  auto ran = Run("head -c 20000000 /dev/zero; head -c 20000000 /dev/zero >&2; exit 3");
  ASSERT_CALL_OK(ran);
  EXPECT_EQ(ran->exit_code(), 3);
  EXPECT_LE(ran->ByteSizeLong(), size_t{16} << 20);
  EXPECT_GT(ran->stdout().size(), size_t{1} << 20);
}

TEST_P(Exec, NoInputIsGiven) {
  EXPECT_EQ(Run("cat; echo end")->stdout(), "end\n");
}

TEST_P(Exec, EightCallersGetTheirOwnOutput) {
  std::vector<std::string> texts(8);
  std::vector<std::thread> callers;
  for (size_t i = 0; i < texts.size(); ++i) {
    callers.emplace_back([&, i] {
      for (int round = 0; round < 4; ++round) texts[i] += Run("echo " + std::to_string(i))->stdout();
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (size_t i = 0; i < texts.size(); ++i) {
    std::string line = std::to_string(i) + "\n";
    EXPECT_EQ(texts[i], line + line + line + line);
  }
}

TEST_P(Exec, IsRefusedOnceTheContainerHasExited) {
  ASSERT_CALL_OK(cri().Stop(made_.container, 10));
  auto ran = Run("echo no");
  EXPECT_EQ(ran.code(), grpc::StatusCode::FAILED_PRECONDITION) << ran.message();
}

TEST_P(Exec, ContainerStoppedMeanwhileEndsTheCall) {
  std::jthread stopper([&] {
    Eventually([&] { return !ProcessesNamed("sleep").empty(); });
    EXPECT_CALL_OK(cri().Stop(made_.container, 0));
  });
  auto ran = cri().Exec(made_.container, {"sleep", "5432"}, 0);
  stopper.join();
  EXPECT_TRUE(!ran.ok() || ran->exit_code() == 137);
}

}  // namespace
}  // namespace berth::e2e
