#include "server/stats/processes.h"

#include <sys/resource.h>
#include <unistd.h>

#include "recorded_tree.h"
#include "server/stats/block_device.h"

namespace berth::stats {
namespace {

TEST(Processes, CountsDescriptorsAndSockets) {
  TempFolder proc;
  for (const char* name : {"10/fd/.keep", "11/fd/.keep", "12/status"}) proc.File(name, "");
  ASSERT_EQ(symlink("/dev/null", (proc.path() / "10/fd/0").c_str()), 0);
  ASSERT_EQ(symlink("socket:[4711]", (proc.path() / "10/fd/1").c_str()), 0);
  ASSERT_EQ(symlink("socket", (proc.path() / "11/fd/0").c_str()), 0);
  const ProcessFigures figures = ReadProcesses({10, 11, 12, 13}, proc.path());
  EXPECT_EQ(figures.processes, 2u) << "those that have ended are left out";
  EXPECT_EQ(figures.descriptors, 3u);
  EXPECT_EQ(figures.sockets, 1u);
}

TEST(Processes, OpenFilesLimitIsTheKernels) {
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const auto told = OpenFilesLimit(getpid());
  EXPECT_EQ(told.has_value(), limit.rlim_cur != RLIM_INFINITY);
  if (told) {
    EXPECT_EQ(*told, limit.rlim_cur);
  }
  EXPECT_FALSE(OpenFilesLimit(0x7fffffff)) << "no such process";
}

TEST(BlockDevice, HasTheKernelsName) {
  TempFolder sys;
  ASSERT_EQ(symlink("../../devices/virtual/block/vda", (sys.path() / "254:0").c_str()), 0);
  EXPECT_EQ(DeviceName(254, 0, sys.path()), "/dev/vda");
  EXPECT_EQ(DeviceName(0, 42, sys.path()), "0:42");
}

}  // namespace
}  // namespace berth::stats
