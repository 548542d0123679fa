#include "kernel/mount.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/unique_fd.h"
#include "kernel/overlay.h"
#include "temp_folder.h"

namespace berth::kernel {
namespace {

class MountTest : public testing::Test {
 protected:
  void SetUp() override { SKIP_UNLESS_ROOT("mounting"); }
  TempFolder temp_;
};

// Both ways to mount an overlay, on whatever kernel this is.
using OverlayCall = base::Status (*)(const OverlaySpec&);
class OverlayTest : public testing::TestWithParam<OverlayCall> {
 protected:
  void SetUp() override {
    SKIP_UNLESS_ROOT("mounting");
    if (GetParam() == &internal::MountOverlayByFsconfig && !internal::KernelTakesLayersOneByOne()) {
      GTEST_SKIP() << "the kernel has no lowerdir+";
    }
    // Overlays on overlays have limits of their own, so the layers lie on a tmpfs.
    ASSERT_OK(MountTmpfs(temp_.Folder("fs"), 64 << 20, 0755));
    ground_ = Mount(temp_ / "fs");
  }
  void TearDown() override { EXPECT_OK(ground_.Close()); }

  // Layers 0 (top) to count - 1; each has a file of its own name and all have "who".
  OverlaySpec Spec(int count, const std::string& pad = {}) {
    OverlaySpec spec;
    for (int i = 0; i < count; ++i) {
      const std::string name = "fs/layers/" + pad + std::to_string(i) + "/diff";
      temp_.Folder(name);
      temp_.File(name + "/who", std::to_string(i));
      temp_.File(name + "/only" + std::to_string(i), "x");
      spec.lower.push_back(temp_ / name);
    }
    spec.upper = temp_.Folder("fs/upper");
    spec.work = temp_.Folder("fs/work");
    spec.target = temp_.Folder("fs/root");
    return spec;
  }

  TempFolder temp_;
  Mount ground_;
};
INSTANTIATE_TEST_SUITE_P(Ways, OverlayTest,
                         testing::Values(&internal::MountOverlayByFsconfig, &internal::MountOverlayByMountCall),
                         [](const auto& way) { return way.index == 0 ? "Fsconfig" : "MountCall"; });

TEST_P(OverlayTest, OneLayerCanBeWrittenTo) {
  const OverlaySpec spec = Spec(1);
  ASSERT_OK(GetParam()(spec));
  Mount mount(spec.target);
  EXPECT_EQ(Contents(spec.target / "who"), "0");
  temp_.File("fs/root/new", "n");
  EXPECT_EQ(Contents(spec.upper / "new"), "n");
  EXPECT_OK(mount.Close());
  EXPECT_EQ(*IsMountPoint(spec.target), false);
}

TEST_P(OverlayTest, ThreeLayersShowTheTopmost) {
  const OverlaySpec spec = Spec(3);
  ASSERT_OK(GetParam()(spec));
  Mount mount(spec.target);
  EXPECT_EQ(Contents(spec.target / "who"), "0");
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(base::Exists(spec.target / ("only" + std::to_string(i))));
  EXPECT_OK(mount.Close());
}

TEST_P(OverlayTest, HundredAndThirtyLayersWithLongNamesFit) {
  const OverlaySpec spec = Spec(130, std::string(64, 'c'));
  ASSERT_OK(GetParam()(spec));
  Mount mount(spec.target);
  EXPECT_EQ(Contents(spec.target / "who"), "0");
  EXPECT_TRUE(base::Exists(spec.target / "only129"));
  EXPECT_OK(mount.Close());
}

TEST_P(OverlayTest, OddAndVeryLongNamesAreMounted) {
  OverlaySpec spec = Spec(1, "a:b,c\\d");
  OverlaySpec deep = Spec(1, std::string(200, 'x') + "/" + std::string(200, 'y'));
  spec.lower.push_back(deep.lower.front());
  ASSERT_OK(GetParam()(spec));
  Mount mount(spec.target);
  EXPECT_EQ(Contents(spec.target / "who"), "0");
  EXPECT_OK(mount.Close());
}

TEST_P(OverlayTest, OneLayerWithoutUpperIsReadOnly) {
  OverlaySpec spec = Spec(1);
  spec.upper.clear();
  spec.work.clear();
  EXPECT_CODE(GetParam()(spec), base::Code::kInvalidArgument);
  spec.empty = temp_.Folder("fs/empty");
  ASSERT_OK(GetParam()(spec));
  Mount mount(spec.target);
  EXPECT_EQ(Contents(spec.target / "who"), "0");
  EXPECT_EQ(mkdir((spec.target / "new").c_str(), 0755), -1);
  EXPECT_EQ(errno, EROFS);
  EXPECT_OK(mount.Close());
}

TEST_P(OverlayTest, ReadOnlyIsKeptWithAnUpperFolder) {
  OverlaySpec spec = Spec(2);
  spec.read_only = true;
  spec.options = {"volatile", "index=off"};
  ASSERT_OK(GetParam()(spec));
  Mount mount(spec.target);
  EXPECT_EQ(mkdir((spec.target / "new").c_str(), 0755), -1);
  EXPECT_EQ(errno, EROFS);
  EXPECT_OK(mount.Close());
}

TEST_P(OverlayTest, MissingLayerIsAnErrorAndNothingIsMounted) {
  OverlaySpec spec = Spec(2);
  spec.lower.push_back(temp_ / "fs/absent");
  const base::Status status = GetParam()(spec);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().err, ENOENT) << status.error().Text();
  EXPECT_EQ(*IsMountPoint(spec.target), false);
}

TEST_P(OverlayTest, OptionsThatNameFoldersAreRefused) {
  for (const char* option : {"lowerdir=/", "lowerdir+=/", "upperdir=/", "workdir=/x", "datadir+=/", "a,b", ""}) {
    OverlaySpec spec = Spec(1);
    spec.options = {option};
    EXPECT_CODE(GetParam()(spec), base::Code::kInvalidArgument);
  }
}

TEST_P(OverlayTest, RelativeLayerIsRefused) {
  OverlaySpec spec = Spec(1);
  spec.lower = {"layers/0"};
  EXPECT_CODE(GetParam()(spec), base::Code::kInvalidArgument);
}

TEST_F(MountTest, OverlayIsMountedTheWayThisKernelCan) {
  ASSERT_OK(MountTmpfs(temp_.Folder("fs"), 1 << 20, 0755));
  Mount ground(temp_ / "fs");
  ASSERT_OK(MountOverlay({.lower = {temp_.Folder("fs/l")},
                          .upper = temp_.Folder("fs/u"),
                          .work = temp_.Folder("fs/w"),
                          .target = temp_.Folder("fs/t")}));
  EXPECT_OK(Unmount(temp_ / "fs/t"));
  EXPECT_OK(ground.Close());
}

TEST_F(MountTest, BindShowsTheSourceWithItsFlags) {
  temp_.Folder("a");
  temp_.File("a/f", "text");
  ASSERT_OK(BindMount(temp_ / "a", temp_.Folder("b"), Recursion::kThisMount,
                      {.read_only = true, .no_suid = true, .no_dev = true, .no_exec = true}));
  Mount mount(temp_ / "b");
  EXPECT_EQ(Contents(temp_ / "b/f"), "text");
  EXPECT_EQ(open((temp_ / "b/f").c_str(), O_WRONLY | O_CLOEXEC), -1);
  EXPECT_EQ(errno, EROFS);
  const auto mounts = Mounts();
  ASSERT_OK(mounts);
  const MountPoint* found = MountOf(*mounts, temp_ / "b");
  EXPECT_EQ(found->target, temp_ / "b");
  EXPECT_TRUE(found->options.starts_with("ro,nosuid,nodev,noexec")) << found->options;
  EXPECT_OK(mount.Close());
}

TEST_F(MountTest, RecursiveBindTakesMountsBelowAlong) {
  temp_.Folder("a/sub");
  ASSERT_OK(MountTmpfs(temp_ / "a/sub", 1 << 20, 0700));
  Mount below(temp_ / "a/sub");
  temp_.File("a/sub/f", "deep");
  ASSERT_OK(BindMount(temp_ / "a", temp_.Folder("flat")));
  Mount flat(temp_ / "flat");
  ASSERT_OK(BindMount(temp_ / "a", temp_.Folder("whole"), Recursion::kAllBelow));
  Mount whole(temp_ / "whole");
  EXPECT_FALSE(base::Exists(temp_ / "flat/sub/f"));
  EXPECT_EQ(Contents(temp_ / "whole/sub/f"), "deep");
  EXPECT_OK(whole.Close());
  EXPECT_OK(flat.Close());
  EXPECT_OK(below.Close());
}

TEST_F(MountTest, BindOfDescriptorNeedsNoName) {
  const base::Path file = temp_.File("source", "by fd");
  const auto fd = base::Open(file, O_PATH);
  ASSERT_OK(fd);
  ASSERT_OK(BindMountFd(fd->get(), temp_.File("target")));
  Mount mount(temp_ / "target");
  EXPECT_EQ(Contents(temp_ / "target"), "by fd");
  EXPECT_OK(mount.Close());
  EXPECT_EQ(Contents(temp_ / "target"), "");
}

TEST_F(MountTest, BindDoesNotFollowLinkAtTarget) {
  temp_.Folder("a");
  temp_.Folder("elsewhere");
  ASSERT_EQ(symlink((temp_ / "elsewhere").c_str(), (temp_ / "link").c_str()), 0);
  EXPECT_FALSE(BindMount(temp_ / "a", temp_ / "link").has_value());
  EXPECT_EQ(*IsMountPoint(temp_ / "elsewhere"), false);
}

TEST_F(MountTest, BindOfMissingSourceNamesIt) {
  const base::Status status = BindMount(temp_ / "absent", temp_.Folder("b"));
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().err, ENOENT);
  EXPECT_NE(status.error().message.find("absent"), std::string::npos);
}

TEST_F(MountTest, TmpfsHasSizeModeAndFlags) {
  ASSERT_OK(MountTmpfs(temp_.Folder("shm"), 64 << 20, 01777, {.no_suid = true, .no_dev = true, .no_exec = true}));
  Mount mount(temp_ / "shm");
  struct stat info {};
  ASSERT_EQ(stat((temp_ / "shm").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 01777U);
  const auto mounts = Mounts();
  ASSERT_OK(mounts);
  const MountPoint* found = MountOf(*mounts, temp_ / "shm");
  EXPECT_NE(found->super_options.find("size=65536k"), std::string::npos) << found->super_options;
  EXPECT_TRUE(found->options.starts_with("rw,nosuid,nodev,noexec")) << found->options;
  EXPECT_OK(mount.Close());
}

TEST_F(MountTest, UnmountOfNothingSucceeds) {
  EXPECT_OK(Unmount(temp_ / "absent"));
  EXPECT_OK(Unmount(temp_.Folder("plain")));
  EXPECT_OK(Unmount(temp_.File("file") / "below"));
}

TEST_F(MountTest, UnmountTakesStackedMountsAway) {
  temp_.Folder("t");
  for (int i = 0; i < 3; ++i) ASSERT_OK(MountTmpfs(temp_ / "t", 1 << 20, 0755));
  EXPECT_OK(Unmount(temp_ / "t"));
  EXPECT_EQ(*IsMountPoint(temp_ / "t"), false);
}

TEST_F(MountTest, UnmountDoesNotFollowLink) {
  ASSERT_OK(MountTmpfs(temp_.Folder("t"), 1 << 20, 0755));
  Mount mount(temp_ / "t");
  ASSERT_EQ(symlink((temp_ / "t").c_str(), (temp_ / "link").c_str()), 0);
  EXPECT_OK(Unmount(temp_ / "link"));
  EXPECT_EQ(*IsMountPoint(temp_ / "t"), true);
  EXPECT_OK(mount.Close());
}

TEST_F(MountTest, UnmountBelowLeavesPrefixAndNeighbours) {
  for (const char* name : {"p", "px"}) ASSERT_OK(MountTmpfs(temp_.Folder(name), 1 << 20, 0755));
  temp_.Folder("p/a");
  ASSERT_OK(MountTmpfs(temp_ / "p/a", 1 << 20, 0755));
  temp_.Folder("p/a/b");
  ASSERT_OK(MountTmpfs(temp_ / "p/a/b", 1 << 20, 0755));
  EXPECT_OK(UnmountBelow(temp_ / "p"));
  EXPECT_EQ(*IsMountPoint(temp_ / "p/a"), false);
  EXPECT_EQ(*IsMountPoint(temp_ / "p"), true);
  EXPECT_EQ(*IsMountPoint(temp_ / "px"), true);
  EXPECT_OK(Unmount(temp_ / "p"));
  EXPECT_OK(Unmount(temp_ / "px"));
}

TEST_F(MountTest, ReleasedMountStays) {
  ASSERT_OK(MountTmpfs(temp_.Folder("t"), 1 << 20, 0755));
  {
    Mount mount(temp_ / "t");
    Mount moved(std::move(mount));
    EXPECT_EQ(moved.Release(), temp_ / "t");
  }
  EXPECT_EQ(*IsMountPoint(temp_ / "t"), true);
  { const Mount owner(temp_ / "t"); }
  EXPECT_EQ(*IsMountPoint(temp_ / "t"), false);
}

TEST_F(MountTest, PropagationTellsSharedSlaveAndPrivate) {
  ASSERT_OK(MountTmpfs(temp_.Folder("t"), 1 << 20, 0755));
  Mount first(temp_ / "t");
  temp_.Folder("t/x");
  ASSERT_EQ(mount(nullptr, first.target().c_str(), nullptr, MS_PRIVATE, nullptr), 0);
  auto seen = PropagationOf(temp_ / "t/x");
  ASSERT_OK(seen);
  EXPECT_EQ(seen->mount, temp_ / "t");
  EXPECT_FALSE(seen->shared || seen->slave);
  ASSERT_EQ(mount(nullptr, first.target().c_str(), nullptr, MS_SHARED, nullptr), 0);
  EXPECT_TRUE(PropagationOf(temp_ / "t/x")->shared);
  ASSERT_OK(BindMount(temp_ / "t", temp_.Folder("u")));
  Mount second(temp_ / "u");
  ASSERT_EQ(mount(nullptr, second.target().c_str(), nullptr, MS_SLAVE, nullptr), 0);
  EXPECT_TRUE(PropagationOf(temp_ / "u")->slave);
  EXPECT_FALSE(PropagationOf(temp_ / "u")->shared);
  EXPECT_OK(second.Close());
  EXPECT_OK(first.Close());
}

}  // namespace
}  // namespace berth::kernel
