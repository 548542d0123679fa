// The node of the benchmarks: a state root on a fresh file system of its own.
#pragma once

#include <sys/mount.h>

#include "tests/bench/floor.h"
#include "tests/bench/timings.h"
#include "tests/e2e/harness/fixture.h"

namespace berth::bench {

namespace v1 = e2e::v1;

// "tmpfs" hides what syncs cost, "ext4" (on a loop device) shows it.
class BenchNode : public e2e::OnNode, public testing::WithParamInterface<std::string> {
 protected:
  void Prepare() override {
    const base::Path root = daemon().options().state_root;
    if (GetParam() == "tmpfs") {
      ASSERT_EQ(::mount("bench", root.c_str(), "tmpfs", 0, nullptr), 0);
      return;
    }
    const base::Path image = folder() / "disk.img";
    ASSERT_STATUS_OK(RunQuietly("/usr/bin/truncate", {"truncate", "-s", "2G", image.native()}));
    ASSERT_STATUS_OK(RunQuietly("/usr/sbin/mkfs.ext4", {"mkfs.ext4", "-q", "-F", image.native()}));
    ASSERT_STATUS_OK(RunQuietly("/usr/bin/mount", {"mount", "-o", "loop", image.native(), root.native()}));
  }
  void TearDown() override {
    const base::Path root = folder() / "state";
    e2e::OnNode::TearDown();
    ::umount2(root.c_str(), MNT_DETACH);
  }
  base::Path Bundle(const std::string& container) {
    return daemon().options().run_root / "containers" / container / "bundle";
  }
};

#define ON_EVERY_DISK(Suite)                                               \
  INSTANTIATE_TEST_SUITE_P(Disks, Suite, testing::Values("tmpfs", "ext4"), \
                           [](const testing::TestParamInfo<std::string>& disk) { return disk.param; })

}  // namespace berth::bench
