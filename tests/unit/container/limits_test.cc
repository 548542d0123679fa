#include "container/limits.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/strings.h"
#include "container/resources.h"
#include "cri-proto/api.pb.h"
#include "tests/unit/kernel/temp_folder.h"

namespace berth::container {
namespace {

using kernel::Contents;

// A tree of plain files that looks like one hierarchy: v2, or v1 with all controllers in it.
class Limits : public testing::Test {
 protected:
  void Make(bool v2, const std::map<std::string, std::string>& files) {
    const std::string kind = v2 ? "cgroup2 cgroup2 rw" : "cgroup cgroup rw,cpu,cpuset,memory,hugetlb";
    const base::Path mount = temp_ / "cgroup";
    ASSERT_OK(base::MakeDirs(mount / "c1"));
    // v2 says there which controllers it has.
    ASSERT_OK(base::WriteFile(mount / "cgroup.controllers", "cpu cpuset memory hugetlb\n"));
    auto tree = kernel::CgroupTree::Detect(
        temp_.File("mountinfo", base::Cat("31 22 0:31 / ", mount.native(), " rw - ", kind, "\n")));
    ASSERT_OK(tree);
    tree_ = *std::move(tree);
    for (const auto& [name, text] : files) ASSERT_OK(base::WriteFile(Name(name), text));
  }
  base::Path Name(const std::string& file) const { return temp_ / "cgroup/c1" / file; }
  // The file's first line after the update: plain files keep the rest of a longer old text.
  base::Status Apply(const oci::Resources& limits) { return WriteLimits(limits, tree_, "/c1", change_); }

  kernel::TempFolder temp_;
  kernel::CgroupTree tree_;
  kernel::CgroupChange change_;
};

TEST(MergedResources, ZeroFieldsAreLeftAloneAndListsGoByTheirKeys) {
  cri::LinuxContainerResources old;
  old.set_cpu_shares(512);
  old.set_memory_limit_in_bytes(100);
  old.set_oom_score_adj(7);
  old.add_hugepage_limits()->set_page_size("2MB");
  (*old.mutable_unified())["memory.high"] = "1";
  cri::LinuxContainerResources update;
  update.set_cpuset_cpus("0");
  update.set_memory_limit_in_bytes(200);
  auto* pages = update.add_hugepage_limits();
  pages->set_page_size("2MB");
  pages->set_limit(4);
  (*update.mutable_unified())["memory.min"] = "2";
  const auto merged = MergeResources(old, update);
  EXPECT_EQ(merged.cpu_shares(), 512);
  EXPECT_EQ(merged.memory_limit_in_bytes(), 200);
  EXPECT_EQ(merged.oom_score_adj(), 7);
  EXPECT_EQ(merged.cpuset_cpus(), "0");
  ASSERT_EQ(merged.hugepage_limits_size(), 1);
  EXPECT_EQ(merged.hugepage_limits(0).limit(), 4u);
  EXPECT_EQ(merged.unified().size(), 2u);
}

TEST(MergedResources, OomScoreStaysAsItIs) {
  cri::LinuxContainerResources old, update;
  old.set_oom_score_adj(7);
  update.set_oom_score_adj(8);  // as a kubelet sends it with each resize
  const auto merged = MergeResources(old, update);
  EXPECT_EQ(merged.oom_score_adj(), 7);
}

TEST(MergedResources, OnlyWhatAnUpdateNamesIsWritten) {
  oci::Resources whole{.memory_limit = 1,
                       .memory_swap = 2,
                       .cpu_shares = 3,
                       .cpu_quota = 4,
                       .cpu_period = 5,
                       .cpuset_cpus = "0",
                       .pids_limit = 9};
  whole.unified = {{"memory.high", "1"}, {"memory.min", "2"}};
  whole.hugepage_limits = {{"2MB", 1}, {"1GB", 2}};
  cri::LinuxContainerResources update;
  update.set_cpuset_cpus("0");
  EXPECT_EQ(oci::ToJson(OnlyUpdated(whole, update)), R"({"cpu":{"cpus":"0"}})");
  update.Clear();
  update.set_memory_swap_limit_in_bytes(2);
  update.add_hugepage_limits()->set_page_size("1GB");
  (*update.mutable_unified())["memory.min"] = "2";
  EXPECT_EQ(
      oci::ToJson(OnlyUpdated(whole, update)),
      R"({"hugepageLimits":[{"limit":2,"pageSize":"1GB"}],"memory":{"limit":1,"swap":2},"unified":{"memory.min":"2"}})");
}

TEST(UnitLimits, AreWhatSystemdCallsThem) {
  const auto text = [](const oci::Resources& limits) {
    std::string out;
    for (const auto& [name, value] : UnitLimits(limits))
      out += base::Cat(name, "=", value == UINT64_MAX ? "none" : std::to_string(value), " ");
    return out;
  };
  EXPECT_EQ(text({}), "");
  EXPECT_EQ(text({.memory_limit = 10, .memory_reservation = 5, .memory_swap = 30, .pids_limit = 7}),
            "MemoryLow=5 MemoryMax=10 MemorySwapMax=20 TasksMax=7 ");
  EXPECT_EQ(text({.memory_limit = -1, .memory_swap = -1, .pids_limit = -1}),
            "MemoryMax=none MemorySwapMax=none TasksMax=none ");
  EXPECT_EQ(text({.cpu_quota = 20000}), "CPUQuotaPerSecUSec=200000 ");
  EXPECT_EQ(text({.cpu_quota = 12345, .cpu_period = 50000}), "CPUQuotaPerSecUSec=246900 CPUQuotaPeriodUSec=50000 ");
  EXPECT_EQ(text({.cpu_quota = -1, .cpu_period = 50000}), "CPUQuotaPerSecUSec=none CPUQuotaPeriodUSec=50000 ");
  EXPECT_EQ(text({.cpu_shares = 2, .cpuset_cpus = "0"}), "") << "those the runtime tells";
}

TEST_F(Limits, Version2) {
  Make(true, {{"cpu.max", "max 100000\n"},
              {"cpuset.cpus", "\n"},
              {"memory.max", "max\n"},
              {"memory.swap.max", "0\n"},
              {"memory.high", "max\n"},
              {"hugetlb.2MB.max", "0\n"}});
  oci::Resources limits{.memory_limit = 67108864, .memory_swap = 100663296, .cpu_quota = 50000, .cpuset_cpus = "0"};
  limits.hugepage_limits = {{"2MB", 2097152}};
  limits.unified = {{"memory.high", "50331648"}};
  ASSERT_OK(Apply(limits));
  EXPECT_EQ(Contents(Name("cpu.max")), "50000 100000") << "the period stays";
  EXPECT_EQ(Contents(Name("memory.max")), "67108864");
  EXPECT_EQ(Contents(Name("memory.swap.max")), "33554432") << "the difference";
  EXPECT_EQ(Contents(Name("cpuset.cpus")), "0");
  EXPECT_EQ(Contents(Name("hugetlb.2MB.max")), "2097152");
  EXPECT_EQ(Contents(Name("memory.high")), "50331648");
}

TEST_F(Limits, FailureNamesTheFieldAndUndoPutsBackWhatWasWritten) {
  Make(true, {{"cpu.max", "60000 100000"}, {"memory.max", "12345678"}});
  oci::Resources limits{.memory_limit = 87654321, .cpu_quota = 50000};
  limits.unified = {{"memory.high", "1"}};
  const base::Status done = Apply(limits);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().message.find("resources: unified memory.high: "), 0u) << done.error().message;
  EXPECT_EQ(Contents(Name("memory.max")), "87654321");
  EXPECT_EQ(change_.Undo(), "");
  EXPECT_EQ(Contents(Name("cpu.max")), "60000 100000");
  EXPECT_EQ(Contents(Name("memory.max")), "12345678");
}

TEST_F(Limits, MissingControllerNamesTheField) {
  Make(true, {});
  oci::Resources limits;
  limits.hugepage_limits = {{"1GB", 1}};
  const base::Status done = Apply(limits);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().message.find("resources: hugepage_limits: "), 0u) << done.error().message;
}

// On a real hierarchy, whose kernel refuses a step in the wrong order.
class RealLimits : public testing::Test {
 protected:
  void SetUp() override {
    SKIP_UNLESS_ROOT("making cgroups");
    auto tree = kernel::CgroupTree::Detect();
    if (!tree) GTEST_SKIP() << tree.error().message;
    tree_ = *std::move(tree);
    if (tree_.unified()) GTEST_SKIP() << "cgroup v2 has no order to keep";
    if (!tree_.HasController("memory") || !tree_.HasController("cpu")) GTEST_SKIP() << "no memory or cpu controller";
    group_ = "/berth-test-" + base::RandomId().substr(0, 16);
    const base::Status made = tree_.Create(group_);
    if (!made && made.error().err == EROFS) GTEST_SKIP() << "cgroups are read-only here";
    ASSERT_OK(made);
  }
  void TearDown() override {
    if (!group_.empty()) {
      EXPECT_OK(tree_.Remove(group_));
    }
  }
  std::string File(const char* controller, const char* name) {
    const auto folder = tree_.Folder(group_, controller);
    return folder ? std::string(base::Trim(Contents(*folder / name))) : std::string();
  }
  kernel::CgroupTree tree_;
  std::string group_;
};

TEST_F(RealLimits, MemoryAndSwapRaisedAndLoweredAtOnce) {
  const bool swap = !File("memory", "memory.memsw.limit_in_bytes").empty();
  for (const int64_t memory : {64 << 20, 256 << 20, 32 << 20}) {
    oci::Resources limits{.memory_limit = memory};
    if (swap) limits.memory_swap = memory * 3 / 2;
    kernel::CgroupChange change;
    ASSERT_OK(WriteLimits(limits, tree_, group_, change));
    EXPECT_EQ(File("memory", "memory.limit_in_bytes"), std::to_string(memory));
    if (swap) {
      EXPECT_EQ(File("memory", "memory.memsw.limit_in_bytes"), std::to_string(memory * 3 / 2));
    }
    kernel::CgroupChange undone;
    ASSERT_OK(WriteLimits({.memory_limit = -1, .cpu_shares = 512}, tree_, group_, undone));
    EXPECT_EQ(undone.Undo(), "");
    EXPECT_EQ(File("memory", "memory.limit_in_bytes"), std::to_string(memory)) << "no limit, and back";
    EXPECT_EQ(File("cpu", "cpu.shares"), "1024");
  }
}

TEST_F(RealLimits, QuotaAndPeriodBelowATightParent) {
  const std::string parent = group_;
  kernel::CgroupChange of_parent, change;
  ASSERT_OK(WriteLimits({.cpu_quota = 50000, .cpu_period = 100000}, tree_, parent, of_parent));
  group_ += "/child";
  ASSERT_OK(tree_.Create(group_));
  // Each is half a processor, as the parent has: a wrong order would grant more for a moment, and is refused.
  for (const int64_t period : {100000, 20000, 400000, 50000}) {
    const oci::Resources half{.cpu_quota = period / 2, .cpu_period = static_cast<uint64_t>(period)};
    ASSERT_OK(WriteLimits(half, tree_, group_, change));
    EXPECT_EQ(File("cpu", "cpu.cfs_quota_us"), std::to_string(period / 2));
  }
  const base::Status refused = WriteLimits({.cpu_quota = 60000, .cpu_period = 100000}, tree_, group_, change);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message.find("resources: cpu_quota: "), 0u) << refused.error().message;
  EXPECT_EQ(refused.error().err, EINVAL);
  EXPECT_EQ(change.Undo(), "");
  EXPECT_EQ(File("cpu", "cpu.cfs_quota_us"), "-1");
  group_ = parent;
}

}  // namespace
}  // namespace berth::container
