// The host's own hierarchies, with real processes. Once with all of them and once with the v2 one alone, where there is
// one.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/strings.h"
#include "kernel/cgroup.h"
#include "temp_folder.h"

namespace berth::kernel {
namespace {

using base::Code;
using base::Context;

const Context kLong = Context().WithTimeout(std::chrono::seconds(60));

class RealCgroup : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    SKIP_UNLESS_ROOT("making cgroups");
    std::string text;
    const std::string all = Contents("/proc/self/mountinfo");
    for (const std::string_view line : base::Split(all, '\n')) {
      if (!GetParam() || line.find(" - cgroup2 ") != std::string_view::npos) text += base::Cat(line, "\n");
    }
    auto tree = CgroupTree::Detect(temp_.File("mountinfo", text));
    if (!tree) GTEST_SKIP() << tree.error().message;
    tree_ = *tree;
    if (tree_.unified()) delegated_ = Contents(Delegation());
    group_ = "/berth-test-" + base::RandomId().substr(0, 16);
    const base::Status made = tree_.Create(group_);
    if (!made && made.error().err == EROFS) GTEST_SKIP() << "cgroups are read-only here";
    ASSERT_OK(made);
  }
  void TearDown() override {
    if (group_.empty()) return;
    EXPECT_OK(tree_.Kill(group_));
    EXPECT_OK(tree_.WaitEmpty(group_, kLong));
    EXPECT_OK(tree_.Remove(group_));
    EXPECT_FALSE(tree_.Exists(group_));
    if (!tree_.unified()) return;
    // The host's root gets back what Create switched on; other groups may by now use it.
    const std::string now = Contents(Delegation());
    for (const std::string_view name : base::Split(base::Trim(now), ' ')) {
      if (delegated_.find(name) != std::string::npos) continue;
      const base::Status refused = base::WriteKernelFile(Delegation(), base::Cat("-", name));
      (void)refused;
    }
  }
  base::Path Delegation() const { return tree_.hierarchies().front().mount / "cgroup.subtree_control"; }
  // A shell that runs `script` once it is in the group.
  base::Child Start(const base::Path& group, const std::string& script) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const base::UniqueFd input(ends[0]);
    const base::UniqueFd go(ends[1]);
    auto child = base::Spawn({.program = "/bin/sh",
                              .arguments = {"sh", "-c", "read go; " + script},
                              .environment = {"PATH=/usr/bin:/bin"},
                              .fds = {{input.get(), 0}}});
    EXPECT_OK(child);
    EXPECT_OK(tree_.AddProcess(group, child->pid()));
    EXPECT_EQ(write(go.get(), "\n", 1), 1);
    return *std::move(child);
  }
  static void ExpectKilled(base::Child& child) {
    const auto exit = child.Wait(kLong, "child");
    ASSERT_OK(exit);
    EXPECT_EQ(exit->signal, SIGKILL);
  }
  TempFolder temp_;
  CgroupTree tree_;
  base::Path group_;
  std::string delegated_;
};
INSTANTIATE_TEST_SUITE_P(Trees, RealCgroup, testing::Values(false, true),
                         [](const auto& way) { return way.param ? "UnifiedAlone" : "All"; });

TEST_P(RealCgroup, ProcessInsideIsListedKilledAndGone) {
  base::Child child = Start(group_, "exec sleep 1000");
  EXPECT_EQ(*tree_.Processes(group_), std::vector<pid_t>{child.pid()});
  EXPECT_OK(tree_.Kill(group_));
  EXPECT_OK(tree_.WaitEmpty(group_, kLong));
  EXPECT_TRUE(tree_.Processes(group_)->empty());
  // Its parent has not reaped it yet, and that must not keep the group.
  EXPECT_OK(tree_.Remove(group_));
  ExpectKilled(child);
}

TEST_P(RealCgroup, RemoveWithProcessInsideIsBusy) {
  base::Child child = Start(group_, "exec sleep 1000");
  const base::Status status = tree_.Remove(group_);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().err, EBUSY);
  EXPECT_EQ(status.error().code, Code::kFailedPrecondition);
  EXPECT_OK(tree_.Create(group_));
}

TEST_P(RealCgroup, KillReachesGroupsBelowAndManyProcesses) {
  const base::Path below = group_ / "sub/deep";
  ASSERT_OK(tree_.Create(below));
  // A v2 group that has groups below holds no process itself.
  const base::Path beside = tree_.unified() ? group_ / "beside" : group_;
  ASSERT_OK(tree_.Create(beside));
  base::Child outer = Start(beside, "i=0; while [ $i -lt 60 ]; do sleep 1000 & i=$((i+1)); done; wait");
  base::Child inner = Start(below, "exec sleep 1000");
  EXPECT_OK(tree_.Kill(group_));
  EXPECT_OK(tree_.WaitEmpty(group_, kLong));
  ExpectKilled(outer);
  ExpectKilled(inner);
  EXPECT_OK(tree_.Remove(group_));
  EXPECT_FALSE(tree_.Exists(below));
}

// Who may make groups may nest them as deep as it likes.
TEST_P(RealCgroup, GroupsNestedDeeplyAreKilledAndRemoved) {
  base::Path below = group_;
  for (int i = 0; i < 400; ++i) below /= "d";
  ASSERT_OK(tree_.Create(below));
  base::Child child = Start(below, "exec sleep 1000");
  EXPECT_EQ(*tree_.Processes(group_), std::vector<pid_t>{child.pid()});
  EXPECT_OK(tree_.Kill(group_));
  EXPECT_OK(tree_.WaitEmpty(group_, kLong));
  ExpectKilled(child);
  EXPECT_OK(tree_.Remove(group_));
  EXPECT_FALSE(tree_.Exists(group_));
}

TEST_P(RealCgroup, WaitEmptyEndsWithItsContext) {
  base::Child child = Start(group_, "exec sleep 1000");
  EXPECT_CODE(tree_.WaitEmpty(group_, Context().WithTimeout(std::chrono::milliseconds(10))), Code::kDeadlineExceeded);
}

TEST_P(RealCgroup, WaitEmptyReturnsWhenTheLastProcessEndsByItself) {
  base::Child child = Start(group_, "sleep 0.05");
  EXPECT_OK(tree_.WaitEmpty(group_, kLong));
  EXPECT_TRUE(tree_.Processes(group_)->empty());
}

TEST_P(RealCgroup, FrozenProcessIsKilled) {
  base::Child child = Start(group_, "exec sleep 1000");
  const auto freezer = tree_.Folder(group_, "freezer");
  if (freezer)
    ASSERT_OK(base::WriteKernelFile(*freezer / "freezer.state", "FROZEN"));
  else
    ASSERT_OK(base::WriteKernelFile(tree_.Folders(group_).front() / "cgroup.freeze", "1"));
  EXPECT_OK(tree_.Kill(group_));
  EXPECT_OK(tree_.WaitEmpty(group_, kLong));
  ExpectKilled(child);
}

TEST_P(RealCgroup, OomKillCountStartsAtZero) {
  if (!tree_.HasController("memory")) GTEST_SKIP() << "no memory controller in this tree";
  EXPECT_EQ(*tree_.OomKillCount(group_), 0U);
}

TEST_P(RealCgroup, CpusetTakesItsParentsValues) {
  if (tree_.unified() || !tree_.HasController("cpuset")) GTEST_SKIP() << "no v1 cpuset in this tree";
  const auto folder = tree_.Folder(group_, "cpuset");
  EXPECT_EQ(Contents(*folder / "cpuset.cpus"), Contents(folder->parent_path() / "cpuset.cpus"));
  EXPECT_EQ(Contents(*folder / "cpuset.mems"), Contents(folder->parent_path() / "cpuset.mems"));
}

TEST_P(RealCgroup, AddOfMissingProcessFails) {
  base::Child child = Start(group_, "exit 0");
  ASSERT_OK(child.Wait(kLong, "child"));
  EXPECT_FALSE(tree_.AddProcess(group_, 0x3fffffff).has_value());
}

}  // namespace
}  // namespace berth::kernel
