#include "server/stats/cgroup_reader.h"

#include "recorded_tree.h"

namespace berth::stats {
namespace {

class Recorded : public testing::Test {
 protected:
  CgroupReader Open(const std::string& kind, bool keep_files = true) {
    tree_ = TreeAt(temp_, base::Path(BERTH_RECORDED) / kind, kind == "v2");
    auto reader = CgroupReader::Open(tree_, "/group", {"1GB", "2MB"}, keep_files);
    EXPECT_TRUE(reader.has_value()) << reader.error().Text();
    return *std::move(reader);
  }
  CgroupStats Read(const std::string& kind) {
    auto stats = Open(kind).Read(Depth::kAll);
    EXPECT_TRUE(stats.has_value()) << stats.error().Text();
    return *std::move(stats);
  }
  TempFolder temp_;
  kernel::CgroupTree tree_;
};

TEST_F(Recorded, V1Cpu) {
  const CgroupStats stats = Read("v1");
  EXPECT_GT(stats.time, 0);
  ASSERT_TRUE(stats.cpu);
  EXPECT_EQ(stats.cpu->usage_ns, 211803775u);
  EXPECT_EQ(stats.cpu->user_ns, 84000000u);
  EXPECT_EQ(stats.cpu->system_ns, 135982344u);
  EXPECT_EQ(stats.cpu->throttling, (CpuStats::Throttling{10, 1, 21478534}));
  EXPECT_FALSE(stats.cpu->pressure);
}

TEST_F(Recorded, V1Memory) {
  const CgroupStats stats = Read("v1");
  ASSERT_TRUE(stats.memory);
  const MemoryStats& memory = *stats.memory;
  EXPECT_EQ(memory.usage, 31092736u);
  EXPECT_EQ(memory.limit, 67108864u);
  EXPECT_EQ(memory.peak, 32231424u);
  EXPECT_EQ(memory.inactive_file, 30003200u);
  EXPECT_EQ(memory.working_set(), 31092736u - 30003200u);
  EXPECT_EQ(memory.available(), 67108864u - (31092736u - 30003200u));
  EXPECT_EQ(memory.cache, 30015488u);
  EXPECT_EQ(memory.rss, 114688u);
  EXPECT_EQ(memory.kernel, 962560u);
  EXPECT_EQ(memory.page_faults, 646u);
  EXPECT_EQ(memory.major_page_faults, 2u);
  EXPECT_EQ(memory.fail_count, 0u);
  EXPECT_EQ(memory.oom_kills, 0u);
  EXPECT_EQ(memory.swap, 0u);
  EXPECT_FALSE(memory.swap_limit);  // memsw is not limited
  EXPECT_FALSE(memory.pressure);
}

TEST_F(Recorded, V1PidsAndIo) {
  const CgroupStats stats = Read("v1");
  ASSERT_TRUE(stats.pids);
  EXPECT_EQ(stats.pids->current, 1u);
  EXPECT_EQ(stats.pids->limit, 100u);
  const DeviceIo wanted{.major = 254,
                        .minor = 0,
                        .read_bytes = 4096,
                        .write_bytes = 30003200,
                        .discard_bytes = 512,
                        .reads = 1,
                        .writes = 58,
                        .discards = 1};
  ASSERT_EQ(stats.io.size(), 1u);
  EXPECT_EQ(stats.io[0], wanted);
  EXPECT_TRUE(stats.huge_pages.empty());
}

TEST_F(Recorded, V1Limits) {
  const CgroupLimits limits = Open("v1").ReadLimits();
  EXPECT_EQ(limits.cpu_period_us, 100000u);
  EXPECT_EQ(limits.cpu_quota_us, 50000u);
  EXPECT_EQ(limits.cpu_shares, 512u);
  EXPECT_EQ(limits.memory, 67108864u);
  EXPECT_FALSE(limits.memory_and_swap);
  EXPECT_FALSE(limits.memory_reservation);
}

TEST_F(Recorded, V2Cpu) {
  const CgroupStats stats = Read("v2");
  ASSERT_TRUE(stats.cpu);
  EXPECT_EQ(stats.cpu->usage_ns, 211803000u);
  EXPECT_EQ(stats.cpu->user_ns, 80877000u);
  EXPECT_EQ(stats.cpu->system_ns, 130926000u);
  EXPECT_EQ(stats.cpu->throttling, (CpuStats::Throttling{40, 7, 21478000}));
  ASSERT_TRUE(stats.cpu->pressure && stats.cpu->pressure->some && stats.cpu->pressure->full);
  EXPECT_EQ(*stats.cpu->pressure->some, (PressureLine{2.07, 0.44, 0.09, 287690000}));
  EXPECT_EQ(*stats.cpu->pressure->full, (PressureLine{1.92, 0.41, 0.08, 278776000}));
}

TEST_F(Recorded, V2Memory) {
  const CgroupStats stats = Read("v2");
  ASSERT_TRUE(stats.memory);
  const MemoryStats& memory = *stats.memory;
  EXPECT_EQ(memory.usage, 31092736u);
  EXPECT_EQ(memory.limit, 67108864u);
  EXPECT_EQ(memory.peak, 32231424u);
  EXPECT_EQ(memory.working_set(), 31092736u - 30003200u);
  EXPECT_EQ(memory.cache, 30015488u);
  EXPECT_EQ(memory.rss, 114688u);
  EXPECT_EQ(memory.mapped_file, 4096u);
  EXPECT_EQ(memory.kernel, 962560u);
  EXPECT_EQ(memory.page_faults, 646u);
  EXPECT_EQ(memory.major_page_faults, 2u);
  EXPECT_EQ(memory.fail_count, 12u);
  EXPECT_EQ(memory.oom_kills, 1u);
  EXPECT_EQ(memory.swap, 1048576u);
  EXPECT_FALSE(memory.swap_limit);
  ASSERT_TRUE(memory.pressure);
  EXPECT_EQ(memory.pressure->some, PressureLine{});
}

TEST_F(Recorded, V2TheRest) {
  const CgroupStats stats = Read("v2");
  ASSERT_TRUE(stats.pids);
  EXPECT_EQ(stats.pids->current, 3u);
  EXPECT_FALSE(stats.pids->limit);
  ASSERT_EQ(stats.io.size(), 2u);
  EXPECT_EQ(stats.io[0].write_bytes, 30003200u);
  EXPECT_EQ(stats.io[1], (DeviceIo{8, 16, 1, 2, 5, 3, 4, 6}));
  ASSERT_TRUE(stats.io_pressure && stats.io_pressure->some);
  EXPECT_EQ(stats.io_pressure->some->total_ns, 488000u);
  EXPECT_EQ(stats.huge_pages, (std::vector<HugePages>{{"2MB", 2097152, std::nullopt}}));
}

TEST_F(Recorded, V2Limits) {
  const CgroupLimits limits = Open("v2").ReadLimits();
  EXPECT_EQ(limits.cpu_quota_us, 50000u);
  EXPECT_EQ(limits.cpu_period_us, 100000u);
  EXPECT_EQ(limits.cpu_shares, 500u);  // weight 20
  EXPECT_EQ(limits.memory, 67108864u);
  EXPECT_FALSE(limits.memory_and_swap);
  EXPECT_EQ(limits.memory_reservation, 4194304u);
}

TEST_F(Recorded, UsageAloneReadsNoDevices) {
  const auto stats = Open("v2").Read(Depth::kUsage);
  ASSERT_TRUE(stats.has_value());
  EXPECT_TRUE(stats->io.empty());
  EXPECT_TRUE(stats->cpu && stats->memory && stats->pids && stats->io_pressure);
}

class RecordedAndKept : public Recorded, public testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(KeepFiles, RecordedAndKept, testing::Bool());

TEST_P(RecordedAndKept, UsageAloneTellsTheSameFromFewerFiles) {
  for (const char* kind : {"v1", "v2"}) {
    const CgroupReader reader = Open(kind, GetParam());
    (void)reader.Read(Depth::kUsage);
    const auto few = reader.Read(Depth::kUsage);
    const auto all = reader.Read(Depth::kAll);
    ASSERT_TRUE(few.has_value() && all.has_value()) << kind;
    EXPECT_EQ(few->cpu->usage_ns, all->cpu->usage_ns) << kind;
    EXPECT_EQ(few->memory->usage, all->memory->usage) << kind;
    EXPECT_EQ(few->memory->limit, all->memory->limit) << kind;
    EXPECT_EQ(few->memory->rss, all->memory->rss) << kind;
    EXPECT_EQ(few->memory->working_set(), all->memory->working_set()) << kind;
    EXPECT_EQ(few->memory->major_page_faults, all->memory->major_page_faults) << kind;
    EXPECT_EQ(few->memory->swap, all->memory->swap) << kind;
    EXPECT_EQ(few->memory->swap_limit, all->memory->swap_limit) << kind;
    EXPECT_EQ(few->memory->peak, std::nullopt) << kind;
    EXPECT_TRUE(all->memory->peak) << kind;
  }
}

TEST_F(Recorded, MissingGroupIsNotFound) {
  for (const bool v2 : {false, true}) {
    tree_ = TreeAt(temp_, base::Path(BERTH_RECORDED) / (v2 ? "v2" : "v1"), v2);
    const auto reader = CgroupReader::Open(tree_, "/other", {}, true);
    ASSERT_FALSE(reader.has_value());
    EXPECT_EQ(reader.error().code, base::Code::kNotFound);
  }
}

TEST(CgroupReader, GroupThatGoesAwayIsNotFound) {
  TempFolder temp;
  for (const char* file : {"cpu.stat", "memory.current", "pids.current"})
    temp.File(std::string("v2/group/") + file, "usage_usec 1\n");
  temp.File("v2/cgroup.controllers", "cpu memory pids\n");
  const auto tree = TreeAt(temp, temp.path() / "v2", true);
  // Of these files, which no kernel takes back, none may stay open.
  const auto reader = CgroupReader::Open(tree, "/group", {}, false);
  ASSERT_TRUE(reader.has_value());
  EXPECT_TRUE(reader->Read(Depth::kAll).has_value());
  ASSERT_TRUE(base::RemoveTree(temp.path() / "v2/group").has_value());
  const auto gone = reader->Read(Depth::kAll);
  ASSERT_FALSE(gone.has_value());
  EXPECT_EQ(gone.error().code, base::Code::kNotFound);
}

TEST(CgroupReader, HugePageSizesAreNamedAsCgroupFilesAre) {
  TempFolder temp;
  for (const char* name : {"hugepages-2048kB", "hugepages-1048576kB", "hugepages-64kB", "other"}) {
    ASSERT_TRUE(base::MakeDirs(temp.path() / name).has_value());
  }
  EXPECT_EQ(HugePageSizes(temp.path()), (std::vector<std::string>{"1GB", "2MB", "64KB"}));
  EXPECT_TRUE(HugePageSizes(temp.path() / "none").empty());
}

}  // namespace
}  // namespace berth::stats
