#include "container/resources.h"

#include <gtest/gtest.h>

#include "cri-proto/api.pb.h"

namespace berth::container {
namespace {

constexpr ResourceOptions kAll{.cgroup_v2 = true, .swap_controller = true, .hugetlb_controller = true};

std::string Map(const cri::LinuxContainerResources& request, const ResourceOptions& options = kAll) {
  const auto mapped = MapResources(request, options);
  if (mapped) return oci::ToJson(*mapped);
  EXPECT_EQ(mapped.error().code, base::Code::kInvalidArgument);
  return mapped.error().message;
}

TEST(Resources, NothingAskedIsNothingSet) {
  EXPECT_EQ(Map({}), "{}");
}

TEST(Resources, Processors) {
  cri::LinuxContainerResources request;
  request.set_cpu_period(100000);
  request.set_cpu_quota(-1);
  request.set_cpu_shares(1);
  request.set_cpuset_cpus("0-1");
  request.set_cpuset_mems("0");
  EXPECT_EQ(Map(request), R"({"cpu":{"cpus":"0-1","mems":"0","period":100000,"quota":-1,"shares":2}})");
  request.set_cpu_shares(-1);
  EXPECT_EQ(Map(request), "resources: cpu_period and cpu_shares cannot be negative");
}

TEST(Resources, SwapIsMemoryAndSwapTogether) {
  struct Case {
    int64_t memory, swap;
    bool controller;
    const char* result;
  };
  for (const Case& one : {
           Case{1000, 0, true, R"({"memory":{"limit":1000,"swap":1000}})"},
           Case{1000, 0, false, R"({"memory":{"limit":1000}})"},
           Case{1000, 2000, true, R"({"memory":{"limit":1000,"swap":2000}})"},
           Case{1000, 2000, false, R"({"memory":{"limit":1000}})"},
           Case{1000, 1000, true, R"({"memory":{"limit":1000,"swap":1000}})"},
           Case{1000, -1, true, R"({"memory":{"limit":1000,"swap":-1}})"},
           Case{-1, 0, true, R"({"memory":{"limit":-1}})"},
           Case{1000, 999, true,
                "resources: memory_swap_limit_in_bytes 999 is memory and swap together and cannot be below the memory "
                "limit 1000"},
           Case{1000, 999, false,
                "resources: memory_swap_limit_in_bytes 999 is memory and swap together and cannot be below the memory "
                "limit 1000"},
           Case{-1, 2000, true,
                "resources: memory_swap_limit_in_bytes 2000 needs memory_limit_in_bytes, which it includes"},
           Case{0, 2000, true,
                "resources: memory_swap_limit_in_bytes 2000 needs memory_limit_in_bytes, which it includes"},
           Case{-2, 0, true, "resources: memory_limit_in_bytes -2 is negative"},
           Case{0, -2, true, "resources: memory_swap_limit_in_bytes -2 is negative"},
       }) {
    cri::LinuxContainerResources request;
    request.set_memory_limit_in_bytes(one.memory);
    request.set_memory_swap_limit_in_bytes(one.swap);
    ResourceOptions options = kAll;
    options.swap_controller = one.controller;
    EXPECT_EQ(Map(request, options), one.result) << one.memory << " " << one.swap << " " << one.controller;
  }
}

TEST(Resources, HugePagesWithoutAControllerMustBeZero) {
  cri::LinuxContainerResources request;
  request.add_hugepage_limits()->set_page_size("2MB");
  EXPECT_EQ(Map(request), R"({"hugepageLimits":[{"limit":0,"pageSize":"2MB"}]})");
  EXPECT_EQ(Map(request, {.cgroup_v2 = true}), "{}");
  request.mutable_hugepage_limits(0)->set_limit(1 << 21);
  EXPECT_EQ(Map(request), R"({"hugepageLimits":[{"limit":2097152,"pageSize":"2MB"}]})");
  EXPECT_EQ(Map(request, {.cgroup_v2 = true}),
            "resources: hugepage_limits: this host has no hugetlb cgroup controller");
}

TEST(Resources, EachErrorNamesItsField) {
  cri::LinuxContainerResources request;
  request.add_hugepage_limits()->set_page_size("../x");
  EXPECT_EQ(Map(request), "resources: hugepage_limits: page_size \"../x\" is not of the form 2MB");
  request.Clear();
  request.set_cpuset_cpus("0\n1");
  EXPECT_EQ(Map(request), "resources: cpuset_cpus \"0\n1\" is no list of numbers and ranges");
  request.Clear();
  request.set_cpuset_mems("all");
  EXPECT_EQ(Map(request), "resources: cpuset_mems \"all\" is no list of numbers and ranges");
  request.Clear();
  request.set_cpu_quota(-2);
  EXPECT_EQ(Map(request), "resources: cpu_quota -2 is negative");
  request.Clear();
  request.set_memory_limit_in_bytes(4095);
  EXPECT_EQ(Map(request, {.memory_minimum = 4096}),
            "resources: memory_limit_in_bytes 4095 is below the least that this node takes, 4096");
}

TEST(Resources, UnifiedNeedsVersion2AndNamesOfFiles) {
  cri::LinuxContainerResources request;
  (*request.mutable_unified())["memory.high"] = "max";
  EXPECT_EQ(Map(request), R"({"unified":{"memory.high":"max"}})");
  EXPECT_EQ(Map(request, {}), "resources: unified needs cgroup v2");
  (*request.mutable_unified())["../cgroup.procs"] = "1";
  EXPECT_EQ(Map(request), "resources: unified: \"../cgroup.procs\" is not a cgroup file");
}

TEST(Resources, PidsLimitIsTheDaemons) {
  EXPECT_EQ(Map({}, {.pids_limit = 100}), R"({"pids":{"limit":100}})");
}

}  // namespace
}  // namespace berth::container
