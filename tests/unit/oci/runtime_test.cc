// The real runtimes, with a root file system of one static binary.
#include "oci/runtime.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/strings.h"
#include "oci/spec.h"

namespace berth::oci {
namespace {

base::Path FindProgram(const std::string& name) {
  for (const char* folder : {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"}) {
    if (access((base::Path(folder) / name).c_str(), X_OK) == 0) return base::Path(folder) / name;
  }
  return {};
}

// crun refuses cgroup v1 with a unified folder beside it; in a mount namespace of its own the folder can be covered.
// Once for the whole process, whose children inherit it.
bool HideUnifiedCgroup() {
  if (!base::Exists("/sys/fs/cgroup/unified")) return true;
  static const bool done = unshare(CLONE_NEWNS) == 0 &&
                           mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                           mount("tmpfs", "/sys/fs/cgroup/unified", "tmpfs", 0, nullptr) == 0;
  return done;
}

class RuntimeTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    const base::Path program = FindProgram(GetParam());
    if (program.empty()) GTEST_SKIP() << GetParam() << " is not installed";
    const base::Path busybox = FindProgram("busybox");
    if (busybox.empty()) GTEST_SKIP() << "busybox is not installed";
    if (!HideUnifiedCgroup()) GTEST_SKIP() << "cannot make a mount namespace";
    ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);  // containers become our children, so that they can be reaped

    std::string pattern = testing::TempDir() + "/berth-oci-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    for (const char* name : {"scratch", "rootfs/bin", "rootfs/proc", "rootfs/dev", "rootfs/sys"})
      ASSERT_TRUE(base::MakeDirs(folder_ / name));
    std::error_code failed;
    std::filesystem::copy_file(busybox, folder_ / "rootfs/bin/busybox", failed);
    ASSERT_FALSE(failed) << failed.message();
    for (const char* name : {"sh", "sleep", "true"})
      std::filesystem::create_symlink("busybox", folder_ / "rootfs/bin" / name, failed);
    runtime_ = std::make_unique<RuntimeBinary>(
        RuntimeBinary::Options{.name = GetParam(), .path = program, .root = folder_ / "root", .helper = BERTH_HELPER});
    cgroup_ = "berth-test-" + base::RandomId().substr(0, 12);
    id_ = base::RandomId();
  }

  void TearDown() override {
    if (!runtime_) return;
    EXPECT_TRUE(runtime_->Delete(id_, true, context_));
    Reap(-1);
    for (const base::Path& path : CgroupFolders("")) rmdir(path.c_str());
    EXPECT_TRUE(base::RemoveTree(folder_));
  }

  // Of the test's cgroup in each hierarchy, with `name` appended.
  std::vector<base::Path> CgroupFolders(const std::string& name) const {
    std::vector<base::Path> out = {base::Path("/sys/fs/cgroup") / cgroup_ / name};
    for (const std::string& controller : base::ListFolder("/sys/fs/cgroup").value_or(std::vector<std::string>{})) {
      if (controller == "unified") continue;  // covered, see above
      out.push_back(base::Path("/sys/fs/cgroup") / controller / cgroup_ / name);
    }
    return out;
  }

  Spec MakeSpec(std::vector<std::string> args) const {
    Spec spec;
    spec.process.args = std::move(args);
    spec.process.env = {"PATH=/bin"};
    spec.process.cwd = "/";
    spec.root_path = (folder_ / "rootfs").string();
    spec.mounts = {{.destination = "/proc", .type = "proc", .source = "proc"}};
    spec.namespaces = {{.type = "pid"}, {.type = "mount"}, {.type = "ipc"}, {.type = "uts"}, {.type = "network"}};
    spec.cgroups_path = "/" + cgroup_ + "/" + id_;
    return spec;
  }

  base::Path log() const { return folder_ / "log"; }

  // Runs the create command as the monitor does; its exit code.
  int Create(const Spec& spec) {
    EXPECT_TRUE(base::WriteFile(folder_ / "config.json", ToJson(spec)));
    const auto arguments =
        runtime_->CreateArguments({.id = id_, .bundle = folder_, .pid_file = folder_ / "pid", .log_file = log()});
    auto child =
        base::Spawn({.program = arguments[0], .arguments = arguments, .environment = runtime_->Environment({})});
    EXPECT_TRUE(child) << child.error().Text();
    const auto exit = child->Wait(context_, "create");
    EXPECT_TRUE(exit) << exit.error().Text();
    if (const auto text = base::ReadFile(folder_ / "pid"))
      pid_ = static_cast<pid_t>(base::ParseInt(base::Trim(*text)).value_or(-1));
    return exit->code;
  }

  void CreateAndStart(std::vector<std::string> args = {"/bin/sleep", "1000"}) {
    ASSERT_EQ(Create(MakeSpec(std::move(args))), 0) << base::ReadFile(log()).value_or("");
    const auto started = runtime_->Start(id_, context_);
    ASSERT_TRUE(started) << started.error().Text();
  }

  // Reaps whatever ends until `pid` has (-1: until there are no children left); its wait status. A process of ours that
  // crun left behind in the container's pid namespace would otherwise keep the first process there from ending.
  std::optional<int> Reap(pid_t pid) {
    int status = 0;
    for (;;) {
      const pid_t ended = waitpid(-1, &status, 0);
      if (ended == pid) return status;
      if (ended < 0 && errno != EINTR) return std::nullopt;
    }
  }

  void KillAndReap() {
    const auto killed = runtime_->Kill(id_, SIGKILL, false, context_);
    ASSERT_TRUE(killed) << killed.error().Text();
    ASSERT_TRUE(Reap(pid_));
  }

  // Exec's exit and standard output. What still holds the output afterwards is not waited for.
  std::pair<base::ExitStatus, std::string> Exec(std::vector<std::string> args) {
    const base::Path process = folder_ / "process.json";
    EXPECT_TRUE(base::WriteFile(process, ToJson(Process{.args = std::move(args), .env = {"PATH=/bin"}, .cwd = "/"})));
    base::Pipe pipe = base::MakePipe().value();
    auto child = runtime_->Exec({.id = id_,
                                 .process = process,
                                 .scratch = folder_ / "scratch",
                                 .log_file = folder_ / "exec-log",
                                 .standard_output = pipe.write.get()},
                                context_);
    EXPECT_TRUE(child) << child.error().Text();
    pipe.write.Reset();
    auto collected = base::Collect(*child, base::UniqueFd(), std::move(pipe.read), base::UniqueFd(),
                                   {.drain = std::chrono::milliseconds(100)}, context_, "exec");
    EXPECT_TRUE(collected) << collected.error().Text();
    return {collected->exit, collected->output};
  }

  base::Context context_ = base::Context::Make("test", base::Monotonic::now() + std::chrono::seconds(60));
  base::Path folder_;
  std::string cgroup_, id_;
  std::unique_ptr<RuntimeBinary> runtime_;
  pid_t pid_ = -1;
};

TEST_P(RuntimeTest, ContainerGoesThroughItsStates) {
  ASSERT_EQ(Create(MakeSpec({"/bin/sleep", "1000"})), 0) << base::ReadFile(log()).value_or("");
  auto state = runtime_->GetState(id_, context_);
  ASSERT_TRUE(state) << state.error().Text();
  EXPECT_EQ(state->phase, Phase::kCreated);
  EXPECT_EQ(state->pid, pid_);
  EXPECT_EQ(state->bundle, folder_);
  ASSERT_TRUE(runtime_->Start(id_, context_));
  EXPECT_EQ(runtime_->GetState(id_, context_)->phase, Phase::kRunning);
  KillAndReap();
  state = runtime_->GetState(id_, context_);
  EXPECT_EQ(state->phase, Phase::kStopped);
  EXPECT_EQ(state->pid, 0);
  EXPECT_TRUE(runtime_->Delete(id_, false, context_));
  EXPECT_EQ(runtime_->GetState(id_, context_).error().code, base::Code::kNotFound);
}

TEST_P(RuntimeTest, EveryPartOfASpecIsAccepted) {
  Spec spec = MakeSpec({"/bin/true"});
  spec.oci_version = runtime_->GetFeatures(context_)->oci_version;
  spec.hostname = "pod";
  spec.annotations = {{"a", "b"}};
  spec.process.capabilities = {.bounding = {"CAP_KILL"}, .effective = {"CAP_KILL"}, .permitted = {"CAP_KILL"}};
  spec.process.rlimits = {{.type = "RLIMIT_NOFILE", .hard = 100, .soft = 100}};
  spec.process.additional_gids = {7};
  spec.process.no_new_privileges = true;
  spec.resources.devices = {{.allow = false}, {.allow = true, .type = "c", .major = 1, .minor = 3}};
  spec.resources.memory_limit = 64 << 20;
  spec.resources.cpu_shares = 2;
  spec.resources.pids_limit = 100;
  spec.masked_paths = {"/proc/kcore"};
  spec.readonly_paths = {"/proc/sys"};
  spec.seccomp =
      Seccomp{.default_action = "SCMP_ACT_ALLOW",
              .architectures = {"SCMP_ARCH_X86_64"},
              .syscalls = {{.names = {"mount", "a_call_of_tomorrow"}, .action = "SCMP_ACT_ERRNO", .errno_ret = 1}}};
  ASSERT_EQ(Create(spec), 0) << base::ReadFile(log()).value_or("");
  EXPECT_TRUE(runtime_->Start(id_, context_));
  EXPECT_EQ(Reap(pid_), 0);
}

TEST_P(RuntimeTest, FailedCreateExplainsItself) {
  EXPECT_NE(Create(MakeSpec({"/bin/nope"})), 0);
  const std::string message = ErrorText(base::ReadFile(log()).value_or(""));
  EXPECT_NE(message.find("/bin/nope"), std::string::npos) << message;
  EXPECT_EQ(message.find('{'), std::string::npos) << message;
}

TEST_P(RuntimeTest, StartOfUnknownContainerIsNotFound) {
  const auto started = runtime_->Start(id_, context_);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, base::Code::kNotFound);
  EXPECT_TRUE(started.error().message.starts_with(base::Cat("runtime ", GetParam(), ": start ", id_, ": ")))
      << started.error().message;
}

TEST_P(RuntimeTest, SecondStartIsAnError) {
  CreateAndStart();
  const auto again = runtime_->Start(id_, context_);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, base::Code::kInternal);
}

TEST_P(RuntimeTest, KillOfUnknownContainerSucceeds) {
  EXPECT_TRUE(runtime_->Kill(id_, SIGTERM, false, context_));
}

TEST_P(RuntimeTest, KillOfStoppedContainerSucceeds) {
  CreateAndStart();
  KillAndReap();
  EXPECT_TRUE(runtime_->Kill(id_, SIGTERM, false, context_));
  EXPECT_TRUE(runtime_->Kill(id_, SIGKILL, true, context_));
}

TEST_P(RuntimeTest, KillAllReachesEveryProcess) {
  CreateAndStart({"/bin/sh", "-c", "trap '' TERM; sleep 1000 & wait; sleep 1000"});
  EXPECT_TRUE(runtime_->Kill(id_, SIGKILL, true, context_));
  EXPECT_TRUE(Reap(pid_));
}

TEST_P(RuntimeTest, DeleteOfUnknownContainerSucceeds) {
  EXPECT_TRUE(runtime_->Delete(id_, false, context_));
  EXPECT_TRUE(runtime_->Delete(id_, true, context_));
}

TEST_P(RuntimeTest, DeleteOfRunningContainerNeedsForce) {
  CreateAndStart();
  const auto refused = runtime_->Delete(id_, false, context_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kFailedPrecondition);
  EXPECT_TRUE(runtime_->Delete(id_, true, context_));
  EXPECT_EQ(runtime_->GetState(id_, context_).error().code, base::Code::kNotFound);
}

TEST_P(RuntimeTest, DeleteRemovesTheCgroup) {
  CreateAndStart();
  KillAndReap();
  ASSERT_TRUE(runtime_->Delete(id_, false, context_));
  for (const base::Path& path : CgroupFolders(id_)) EXPECT_FALSE(base::Exists(path)) << path;
}

TEST_P(RuntimeTest, ExecHandsOverItsDescriptorsAndItsExitCode) {
  CreateAndStart();
  const auto [exit, output] = Exec({"/bin/sh", "-c", "echo out; exit 7"});
  EXPECT_EQ(exit.code, 7);
  EXPECT_EQ(output, "out\n");
}

TEST_P(RuntimeTest, ExecEndsWithItsProcessWhoeverHoldsTheOutput) {
  CreateAndStart();
  const auto [exit, output] = Exec({"/bin/sh", "-c", "sleep 1000 & echo out; exit 7"});
  EXPECT_EQ(exit.code, 7);
  EXPECT_EQ(output, "out\n");
  const auto [killed, nothing] = Exec({"/bin/sh", "-c", "kill -TERM $$"});
  EXPECT_EQ(killed.code, 143);
  EXPECT_EQ(nothing, "");
  EXPECT_TRUE(base::ListFolder(folder_ / "scratch").value().empty());
}

TEST_P(RuntimeTest, ExecOfMissingProgramExplainsItselfInTheLog) {
  CreateAndStart();
  const auto [exit, output] = Exec({"/bin/nope"});
  EXPECT_NE(exit.code, 0);
  EXPECT_EQ(output, "");
  const std::string message = ErrorText(base::ReadFile(folder_ / "exec-log").value_or(""));
  EXPECT_NE(message.find("/bin/nope"), std::string::npos) << message;
}

TEST_P(RuntimeTest, UpdateChangesTheLimit) {
  CreateAndStart();
  const auto updated = runtime_->Update(id_, ToJson(Resources{.memory_limit = 64 << 20}), context_);
  ASSERT_TRUE(updated) << updated.error().Text();
  const base::Path group = base::Path(cgroup_) / id_;
  const auto v1 = base::ReadFile("/sys/fs/cgroup/memory" / group / "memory.limit_in_bytes");
  const auto v2 = base::ReadFile("/sys/fs/cgroup" / group / "memory.max");
  EXPECT_EQ(base::Trim(v1 ? *v1 : v2.value_or("")), "67108864");
}

TEST_P(RuntimeTest, EndedContextStopsACommand) {
  const base::Context context = base::Context::Make("test");
  context.Cancel();
  EXPECT_EQ(runtime_->Start(id_, context).error().code, base::Code::kCancelled);
}

TEST_P(RuntimeTest, TellsItsFeatures) {
  const auto features = runtime_->GetFeatures(context_);
  ASSERT_TRUE(features) << features.error().Text();
  EXPECT_TRUE(features->version.starts_with(GetParam())) << features->version;
  EXPECT_TRUE(features->exec_cgroup);
  EXPECT_TRUE(features->recursive_read_only);
  // A second call asks nobody, so that even an ended context does not matter.
  const base::Context ended = base::Context::Make("test");
  ended.Cancel();
  EXPECT_TRUE(runtime_->GetFeatures(ended));
}

INSTANTIATE_TEST_SUITE_P(Real, RuntimeTest, testing::Values("crun", "runc"),
                         [](const auto& parameter) { return std::string(parameter.param); });

TEST(RuntimeBinary, MissingProgramIsAnErrorThatNamesTheRuntime) {
  RuntimeBinary runtime({.name = "gone", .path = "/nonexistent/gone", .root = "/nonexistent/root"});
  const auto started = runtime.Start("x", {});
  ASSERT_FALSE(started);
  EXPECT_TRUE(started.error().message.starts_with("runtime gone: start x: ")) << started.error().message;
}

TEST(RuntimeBinary, SystemdCgroupsAndConsoleAreAskedFor) {
  RuntimeBinary runtime({.name = "crun", .path = "/usr/bin/crun", .root = "/r", .systemd_cgroup = true});
  EXPECT_EQ(
      runtime.CreateArguments({.id = "x", .bundle = "/b", .pid_file = "/p", .log_file = "/l", .console_socket = "/c"}),
      (std::vector<std::string>{"/usr/bin/crun", "--root", "/r", "--log-format", "json", "--log", "/l",
                                "--systemd-cgroup", "create", "--bundle", "/b", "--pid-file", "/p", "--console-socket",
                                "/c", "x"}));
}

}  // namespace
}  // namespace berth::oci
