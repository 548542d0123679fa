// Trees that are folders and files: what is read, where and how.
#include <gtest/gtest.h>

#include "kernel/cgroup.h"
#include "temp_folder.h"

namespace berth::kernel {
namespace {

using base::Code;

class FakeV1 : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"cpu,cpuacct", "memory", "systemd"}) temp_.Folder(name);
    Write({{"cpu,cpuacct", "cpu,cpuacct"}, {"memory", "memory"}, {"systemd", "xattr,name=systemd"}});
  }
  void Write(const std::vector<std::pair<std::string, std::string>>& hierarchies) {
    std::string text = "22 1 254:0 / / rw - ext4 /dev/vda rw\n";
    int id = 30;
    for (const auto& [name, options] : hierarchies) {
      const std::string number = std::to_string(id++);
      text += number + " 22 0:" + number + " / " + (temp_ / name).native() + " rw - cgroup cgroup rw," + options + "\n";
    }
    temp_.File("mountinfo", text);
  }
  CgroupTree Tree() {
    auto tree = CgroupTree::Detect(temp_ / "mountinfo");
    EXPECT_OK(tree);
    return tree ? *tree : CgroupTree();
  }
  TempFolder temp_;
};

TEST_F(FakeV1, HierarchiesAndTheirControllersAreFound) {
  const CgroupTree tree = Tree();
  EXPECT_EQ(tree.mode(), CgroupMode::kV1);
  ASSERT_EQ(tree.hierarchies().size(), 3U);
  EXPECT_EQ(tree.hierarchies()[0].controllers, (std::vector<std::string>{"cpu", "cpuacct"}));
  EXPECT_EQ(tree.hierarchies()[2].controllers, (std::vector<std::string>{"name=systemd"}));
  EXPECT_TRUE(tree.HasController("cpuacct"));
  EXPECT_FALSE(tree.HasController("hugetlb"));
  EXPECT_EQ(*tree.Folder("/a/b", "cpuacct"), temp_ / "cpu,cpuacct/a/b");
  EXPECT_CODE(tree.Folder("/a", "hugetlb"), Code::kNotFound);
  EXPECT_EQ(tree.Folders("/a").size(), 3U);
}

TEST_F(FakeV1, HierarchyMountedTwiceIsOne) {
  std::string text = Contents(temp_ / "mountinfo");
  text += "50 22 0:31 / /elsewhere rw - cgroup cgroup rw,memory\n";
  temp_.File("mountinfo", text);
  EXPECT_EQ(Tree().hierarchies().size(), 3U);
}

TEST_F(FakeV1, V2BesideV1IsHybrid) {
  temp_.Folder("unified");
  temp_.File("unified/cgroup.controllers", "hugetlb\n");
  temp_.File("unified/cgroup.subtree_control", "");
  temp_.File("mountinfo", Contents(temp_ / "mountinfo") + "50 22 0:50 / " + (temp_ / "unified").native() +
                              " rw - cgroup2 cgroup2 rw\n");
  const CgroupTree tree = Tree();
  EXPECT_EQ(tree.mode(), CgroupMode::kHybrid);
  EXPECT_FALSE(tree.HasController("hugetlb"));
  EXPECT_OK(tree.Create("/x/y"));
  EXPECT_TRUE(base::Exists(temp_ / "unified/x/y"));
  EXPECT_EQ(Contents(temp_ / "unified/cgroup.subtree_control"), "");
}

TEST_F(FakeV1, NoHierarchyAtAllIsAnError) {
  temp_.File("mountinfo", "22 1 254:0 / / rw - ext4 /dev/vda rw\n");
  EXPECT_CODE(CgroupTree::Detect(temp_ / "mountinfo"), Code::kFailedPrecondition);
}

TEST_F(FakeV1, CreateMakesEveryHierarchyAndRemoveTakesItAway) {
  const CgroupTree tree = Tree();
  EXPECT_FALSE(tree.Exists("/kubepods/pod1"));
  EXPECT_OK(tree.Create("/kubepods/pod1"));
  EXPECT_OK(tree.Create("/kubepods/pod1"));
  for (const char* name : {"cpu,cpuacct", "memory", "systemd"})
    EXPECT_TRUE(base::Exists(temp_ / name / "kubepods/pod1"));
  EXPECT_TRUE(tree.Exists("/kubepods/pod1"));
  EXPECT_OK(tree.Create("/kubepods/pod1/deep/er"));
  EXPECT_OK(tree.Remove("/kubepods/pod1"));
  EXPECT_OK(tree.Remove("/kubepods/pod1"));
  EXPECT_FALSE(tree.Exists("/kubepods/pod1"));
  EXPECT_TRUE(tree.Exists("/kubepods"));
}

TEST_F(FakeV1, FailedCreateRemovesWhatItMade) {
  temp_.Folder("cpu,cpuacct/kept");
  temp_.File("systemd/kept", "a file in the way");
  EXPECT_FALSE(Tree().Create("/kept/pod").has_value());
  EXPECT_TRUE(base::Exists(temp_ / "cpu,cpuacct/kept"));
  EXPECT_FALSE(base::Exists(temp_ / "cpu,cpuacct/kept/pod"));
  EXPECT_FALSE(base::Exists(temp_ / "memory/kept"));
}

TEST_F(FakeV1, RootIsNeverChanged) {
  const CgroupTree tree = Tree();
  for (const char* group : {"/", "", "relative", "/a/"}) {
    EXPECT_CODE(tree.Create(group), Code::kInvalidArgument);
    EXPECT_CODE(tree.Remove(group), Code::kInvalidArgument);
    EXPECT_CODE(tree.Kill(group), Code::kInvalidArgument);
    EXPECT_CODE(tree.AddProcess(group, 0), Code::kInvalidArgument);
  }
}

TEST_F(FakeV1, ProcessesOfAllGroupsBelowAreListedOnce) {
  for (const char* folder : {"memory/g/sub", "systemd/g"}) temp_.Folder(folder);
  temp_.File("memory/g/cgroup.procs", "30\n10\n0\n");
  temp_.File("memory/g/sub/cgroup.procs", "20\n");
  temp_.File("systemd/g/cgroup.procs", "10\n40\n");
  EXPECT_EQ(*Tree().Processes("/g"), (std::vector<pid_t>{10, 20, 30, 40}));
  EXPECT_TRUE(Tree().Processes("/absent")->empty());
}

TEST_F(FakeV1, OomKillsAreCounted) {
  temp_.Folder("memory/g");
  temp_.File("memory/g/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
  EXPECT_EQ(*Tree().OomKillCount("/g"), 3U);
  temp_.File("memory/g/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n");
  EXPECT_CODE(Tree().OomKillCount("/g"), Code::kNotFound);
  EXPECT_CODE(Tree().OomKillCount("/absent"), Code::kNotFound);
}

class FakeV2 : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* folder : {"cg", "cg/kubepods"}) {
      temp_.Folder(folder);
      temp_.File(std::string(folder) + "/cgroup.controllers", "cpuset cpu io memory pids\n");
      temp_.File(std::string(folder) + "/cgroup.subtree_control", "");
    }
    temp_.File("mountinfo",
               "22 1 254:0 / / rw - ext4 /dev/vda rw\n30 22 0:30 / " + (temp_ / "cg").native() +
                   " rw - cgroup2 cgroup2 rw,nsdelegate\n31 22 0:31 / /x rw - cgroup cgroup rw,name=elogind\n");
    auto tree = CgroupTree::Detect(temp_ / "mountinfo");
    ASSERT_OK(tree);
    tree_ = *tree;
  }
  TempFolder temp_;
  CgroupTree tree_;
};

TEST_F(FakeV2, OneHierarchyHasAllControllers) {
  EXPECT_EQ(tree_.mode(), CgroupMode::kV2);
  EXPECT_TRUE(tree_.unified());
  EXPECT_EQ(tree_.hierarchies().size(), 1U);
  EXPECT_EQ(*tree_.Folder("/kubepods", "memory"), temp_ / "cg/kubepods");
  EXPECT_CODE(tree_.Folder("/kubepods", "cpuacct"), Code::kNotFound);
}

TEST_F(FakeV2, CreateSwitchesMissingControllersOnInEveryAncestor) {
  temp_.File("cg/cgroup.subtree_control", "cpu memory\n");
  EXPECT_OK(tree_.Create("/kubepods/pod1"));
  EXPECT_TRUE(Contents(temp_ / "cg/cgroup.subtree_control").starts_with("+cpuset +io"));
  EXPECT_EQ(Contents(temp_ / "cg/kubepods/cgroup.subtree_control"), "+cpuset +cpu +io +memory +pids");
  EXPECT_TRUE(base::Exists(temp_ / "cg/kubepods/pod1"));
}

TEST_F(FakeV2, KillWritesOneWordAndMissingGroupIsSuccess) {
  temp_.Folder("cg/g");
  temp_.File("cg/g/cgroup.kill");
  EXPECT_OK(tree_.Kill("/g"));
  EXPECT_EQ(Contents(temp_ / "cg/g/cgroup.kill"), "1");
  EXPECT_OK(tree_.Kill("/absent"));
}

TEST_F(FakeV2, OomKillsAreCounted) {
  temp_.Folder("cg/g");
  temp_.File("cg/g/memory.events", "low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 5\n");
  EXPECT_EQ(*tree_.OomKillCount("/g"), 1U);
}

TEST_F(FakeV2, WaitEmptyReturnsOnceTheGroupIsUnpopulatedOrGone) {
  temp_.Folder("cg/g");
  temp_.File("cg/g/cgroup.events", "populated 0\nfrozen 0\n");
  EXPECT_OK(tree_.WaitEmpty("/g", base::Context()));
  EXPECT_OK(tree_.WaitEmpty("/absent", base::Context()));
  temp_.File("cg/g/cgroup.events", "populated 1\nfrozen 0\n");
  EXPECT_CODE(tree_.WaitEmpty("/g", base::Context().WithTimeout(std::chrono::milliseconds(10))),
              Code::kDeadlineExceeded);
}

TEST(CgroupPath, FormsOfBothDriversAreResolved) {
  const std::pair<const char*, const char*> table[] = {
      {"/kubepods/burstable/pod1", "/kubepods/burstable/pod1"},
      {"kubepods/pod1", "/kubepods/pod1"},
      {"//kubepods//pod1/", "/kubepods/pod1"},
      {"a.slice", "/a.slice"},
      {"a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice"},
      {"/kubepods.slice/kubepods-burstable.slice", "/kubepods.slice/kubepods-burstable.slice"},
      {"kubepods-pod_1.slice:berth:0123", "/kubepods.slice/kubepods-pod_1.slice/berth-0123.scope"},
      {"a-b.slice::name", "/a.slice/a-b.slice/name.scope"},
      {"-.slice:berth:x", "/berth-x.scope"},
      {"a.slice:x:b.slice", "/a.slice/x-b.slice"},
      {"/with:colons:inside", "/with:colons:inside"}};
  for (const auto& [text, wanted] : table) {
    const auto path = ResolveCgroup(text);
    ASSERT_TRUE(path.has_value()) << text;
    EXPECT_EQ(*path, wanted);
  }
}

TEST(CgroupPath, ImpossibleNamesAreRefused) {
  for (const std::string text :
       {"", "/", "//", "-.slice", "/a/../b", "..", "/a/./b", "-a.slice", "a-.slice", "a--b.slice", ".slice",
        "a/b.slice:berth:x", "a.slice:berth:x/y", "a.slice:berth:", "a.slice:b/c:x", "/a\nb"}) {
    EXPECT_CODE(ResolveCgroup(text), Code::kInvalidArgument);
  }
  EXPECT_CODE(ResolveCgroup("/" + std::string(256, 'n')), Code::kInvalidArgument);
  EXPECT_CODE(ResolveCgroup(std::string(5000, '/')), Code::kInvalidArgument);
}

}  // namespace
}  // namespace berth::kernel
