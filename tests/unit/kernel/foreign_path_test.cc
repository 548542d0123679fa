#include "kernel/foreign_path.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "base/child.h"
#include "silent_fuse.h"
#include "temp_folder.h"

namespace berth::kernel {
namespace {

using base::Code;
using base::Context;
using Kind = ForeignPath::Kind;

// With no helper to start, an answer can only have come from the kernel's caches.
ForeignPaths::Options WithoutHelper() {
  return {.helper = "/no/such/helper"};
}
ForeignPaths::Options WithHelper(std::chrono::milliseconds deadline = std::chrono::seconds(60)) {
  return {.helper = BERTH_HELPER, .deadline = deadline};
}

class ForeignPathTest : public testing::Test {
 protected:
  TempFolder temp_;
};

TEST_F(ForeignPathTest, LocalFolderFileAndLinkNeedNoHelper) {
  ForeignPaths paths(WithoutHelper());
  temp_.Folder("dir");
  temp_.File("dir/file", "x");
  ASSERT_EQ(chmod((temp_ / "dir/file").c_str(), 04751), 0);
  ASSERT_EQ(symlink("dir/../dir/file", (temp_ / "link").c_str()), 0);
  const auto folder = paths.Inspect(temp_ / "dir", Context());
  ASSERT_OK(folder);
  EXPECT_EQ(folder->kind, Kind::kFolder);
  const auto file = paths.Inspect(temp_ / "link", Context());
  ASSERT_OK(file);
  EXPECT_TRUE(file->exists);
  EXPECT_EQ(file->kind, Kind::kFile);
  EXPECT_EQ(file->resolved, temp_ / "dir/file");
  EXPECT_EQ(file->mode, 04751U);
  EXPECT_EQ(file->uid, geteuid());
}

TEST_F(ForeignPathTest, MissingPathIsSuccessWithoutExistence) {
  ForeignPaths paths(WithHelper());
  const auto found = paths.Inspect(temp_ / "absent/below", Context());
  ASSERT_OK(found);
  EXPECT_FALSE(found->exists);
  EXPECT_EQ(found->resolved, temp_ / "absent/below");
}

TEST_F(ForeignPathTest, DeviceHasItsNumber) {
  ForeignPaths paths(WithHelper());
  const auto null = paths.Inspect("/dev/null", Context());
  ASSERT_OK(null);
  EXPECT_EQ(null->kind, Kind::kCharDevice);
  EXPECT_EQ(null->rdev, makedev(1, 3));
}

TEST_F(ForeignPathTest, FifoIsNotOpened) {
  ForeignPaths paths(WithHelper());
  ASSERT_EQ(mkfifo((temp_ / "fifo").c_str(), 0600), 0);
  const auto fifo = paths.Inspect(temp_ / "fifo", Context());
  ASSERT_OK(fifo);
  EXPECT_EQ(fifo->kind, Kind::kFifo);
}

TEST_F(ForeignPathTest, LocalMountNeedsNoHelper) {
  SKIP_UNLESS_ROOT("mounting");
  ForeignPaths paths(WithoutHelper());
  ASSERT_OK(MountTmpfs(temp_.Folder("t"), 1 << 20, 0755));
  Mount mount(temp_ / "t");
  temp_.File("t/file", "x");
  for (const char* name : {"t", "t/", "t//file"}) {
    const auto found = paths.Inspect(temp_ / name, Context());
    ASSERT_OK(found);
    EXPECT_TRUE(found->exists);
  }
  EXPECT_OK(mount.Close());
}

TEST_F(ForeignPathTest, LinkIntoAnotherMountIsAnsweredByTheHelper) {
  SKIP_UNLESS_ROOT("mounting");
  ASSERT_OK(MountTmpfs(temp_.Folder("t"), 1 << 20, 0755));
  Mount mount(temp_ / "t");
  temp_.File("t/line\nbreak and blank", "x");
  ASSERT_EQ(symlink("t/line\nbreak and blank", (temp_ / "link").c_str()), 0);
  EXPECT_FALSE(ForeignPaths(WithoutHelper()).Inspect(temp_ / "link", Context()).has_value());
  const auto found = ForeignPaths(WithHelper()).Inspect(temp_ / "link", Context());
  ASSERT_OK(found);
  EXPECT_EQ(found->resolved, temp_ / "t/line\nbreak and blank");
  EXPECT_EQ(found->kind, Kind::kFile);
  EXPECT_EQ(found->mode, 0644U);
  EXPECT_OK(mount.Close());
}

TEST_F(ForeignPathTest, ImpossiblePathsAreInvalid) {
  ForeignPaths paths(WithHelper());
  temp_.File("file");
  for (const base::Path& path : {base::Path("relative"), base::Path(), temp_ / "file/below",
                                 base::Path("/" + std::string(5000, 'x')), base::Path(std::string("/a\0b", 4))}) {
    EXPECT_CODE(paths.Inspect(path, Context()), Code::kInvalidArgument);
  }
}

TEST_F(ForeignPathTest, EnsureFolderMakesParentsWithTheModeAsked) {
  ForeignPaths paths(WithHelper());
  const mode_t before = umask(077);
  const auto made = paths.EnsureFolder(temp_ / "a/b/c", 0755, Context());
  umask(before);
  ASSERT_OK(made);
  EXPECT_EQ(made->resolved, temp_ / "a/b/c");
  EXPECT_EQ(made->kind, Kind::kFolder);
  EXPECT_EQ(made->mode, 0755U);
  EXPECT_EQ(paths.Inspect(temp_ / "a", Context())->mode, 0755U);
}

TEST_F(ForeignPathTest, EnsureFolderTakesWhatIsThere) {
  ForeignPaths paths(WithoutHelper());
  temp_.File("file");
  const auto found = paths.EnsureFolder(temp_ / "file", 0755, Context());
  ASSERT_OK(found);
  EXPECT_EQ(found->kind, Kind::kFile);
}

TEST_F(ForeignPathTest, CancelledCallStartsNoHelper) {
  ForeignPaths paths(WithHelper());
  const Context context = Context::Make();
  context.Cancel();
  EXPECT_CODE(paths.EnsureFolder(temp_ / "new", 0755, context), Code::kCancelled);
  EXPECT_FALSE(base::Exists(temp_ / "new"));
}

class DeadServerTest : public ForeignPathTest {
 protected:
  void SetUp() override {
    SKIP_UNLESS_ROOT("mounting");
    if (!base::Exists("/dev/fuse")) GTEST_SKIP() << "no /dev/fuse";
  }
  // Until the kernel has let go of every helper; waits for children to end without reaping them.
  static void AwaitNoneStuck(ForeignPaths& paths) {
    while (paths.StuckHelpers() > 0) {
      siginfo_t info{};
      ASSERT_EQ(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0);
    }
  }
};

TEST_F(DeadServerTest, CallIsGivenUpOthersGoOnAndTheRetryAfterwardsSucceeds) {
  SilentFuse fuse(temp_.Folder("dead"));
  ForeignPaths paths(WithHelper(std::chrono::milliseconds(100)));
  EXPECT_CODE(paths.Inspect(temp_ / "dead/volume", Context()), Code::kDeadlineExceeded);
  EXPECT_CODE(paths.EnsureFolder(temp_ / "dead", 0755, Context()), Code::kDeadlineExceeded);
  EXPECT_EQ(paths.StuckHelpers(), 2U);
  EXPECT_EQ(paths.AbandonedHelpers(), 2U);
  EXPECT_OK(paths.Inspect(temp_.Folder("alive"), Context()));
  fuse.End();
  AwaitNoneStuck(paths);
  EXPECT_EQ(paths.AbandonedHelpers(), 2U);
  const auto again = paths.EnsureFolder(temp_ / "dead/volume", 0755, Context().WithTimeout(std::chrono::seconds(60)));
  ASSERT_OK(again);
  EXPECT_EQ(again->kind, Kind::kFolder);
}

TEST_F(DeadServerTest, OneDeadMountGetsItsShareOfHelpersOnly) {
  SilentFuse fuse(temp_.Folder("dead"));
  SilentFuse other(temp_.Folder("dead too"));
  auto options = WithHelper(std::chrono::milliseconds(50));
  options.cap = 3;
  options.cap_per_place = 2;
  ForeignPaths paths(options);
  for (const char* name : {"a", "b"})
    EXPECT_CODE(paths.Inspect(temp_ / "dead" / name, Context()), Code::kDeadlineExceeded);
  EXPECT_CODE(paths.Inspect(temp_ / "dead/c", Context()), Code::kUnavailable);
  EXPECT_CODE(paths.Inspect(temp_ / "dead too/a", Context()), Code::kDeadlineExceeded);
  EXPECT_CODE(paths.Inspect(temp_ / "dead too/b", Context()), Code::kUnavailable);
  EXPECT_EQ(paths.StuckHelpers(), 3U);
  // What the kernel's caches answer needs no helper, however many are stuck.
  EXPECT_OK(paths.Inspect(temp_.Folder("alive"), Context()));
  fuse.End();
  other.End();
  AwaitNoneStuck(paths);
}

TEST_F(DeadServerTest, LinkToDeadMountIsGivenUpToo) {
  SilentFuse fuse(temp_.Folder("dead"));
  ASSERT_EQ(symlink("dead/x", (temp_ / "link").c_str()), 0);
  ForeignPaths paths(WithHelper(std::chrono::milliseconds(50)));
  EXPECT_CODE(paths.Inspect(temp_ / "link", Context()), Code::kDeadlineExceeded);
  fuse.End();
  AwaitNoneStuck(paths);
}

TEST_F(DeadServerTest, ContextEndsTheCallBeforeTheDeadline) {
  SilentFuse fuse(temp_.Folder("dead"));
  ForeignPaths paths(WithHelper());
  EXPECT_CODE(paths.Inspect(temp_ / "dead/x", Context().WithTimeout(std::chrono::milliseconds(50))),
              Code::kDeadlineExceeded);
  fuse.End();
  AwaitNoneStuck(paths);
}

}  // namespace
}  // namespace berth::kernel
