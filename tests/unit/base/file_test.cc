#include "base/file.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

#include <gtest/gtest.h>

#include "tests/unit/state/temp_folder.h"

namespace berth::base {
namespace {

class Files : public testing::Test {
 protected:
  std::string Contents(const Path& path) { return ReadFile(path).value_or("<unreadable>"); }
  mode_t Mode(const Path& path) {
    struct stat info {};
    return lstat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
  }
  std::vector<std::string> Names(const Path& path) {
    auto names = ListFolder(path).value_or(std::vector<std::string>{"<unreadable>"});
    std::sort(names.begin(), names.end());
    return names;
  }

  const state::TempFolder temp_;
};

using Replacing = Files;

TEST_F(Replacing, NewFileHasTheModeWhateverTheUmask) {
  const mode_t before = umask(0777);
  const Status written = WriteFile(temp_ / "a", "text", 0640, Durability::kDurable);
  umask(before);
  ASSERT_TRUE(written) << written.error().Text();
  EXPECT_EQ(Contents(temp_ / "a"), "text");
  EXPECT_EQ(Mode(temp_ / "a"), 0640u);
}

TEST_F(Replacing, LeavesNothingButTheNewFile) {
  ASSERT_TRUE(WriteFile(temp_ / "a", "a much longer old text").has_value());
  ASSERT_TRUE(WriteFile(temp_ / "a", "new").has_value());
  EXPECT_EQ(Contents(temp_ / "a"), "new");
  EXPECT_EQ(Names(temp_.path()), std::vector<std::string>{"a"});
}

TEST_F(Replacing, TornTemporaryOfACrashDoesNoHarm) {
  ASSERT_TRUE(WriteFile(temp_ / "a.tmp", "left by a crash, longer than what comes").has_value());
  ASSERT_TRUE(WriteFile(temp_ / "a", "new").has_value());
  EXPECT_EQ(Contents(temp_ / "a"), "new");
}

TEST_F(Replacing, TemporaryThatIsALinkIsNotFollowed) {
  ASSERT_TRUE(WriteFile(temp_ / "outside", "alive").has_value());
  ASSERT_EQ(symlink((temp_ / "outside").c_str(), (temp_ / "a.tmp").c_str()), 0);
  const Status first = WriteFile(temp_ / "a", "new");
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error().err, ELOOP);
  EXPECT_EQ(Contents(temp_ / "outside"), "alive");
  EXPECT_TRUE(WriteFile(temp_ / "a", "new").has_value()) << "the link is gone, so the next one succeeds";
}

TEST_F(Replacing, FailureKeepsTheOldAndLeavesNoTemporary) {
  ASSERT_TRUE(MakeDirs(temp_ / "folder/inside").has_value());
  const Status status = WriteFile(temp_ / "folder", "text");  // cannot be renamed over a folder
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().err, EISDIR);
  EXPECT_EQ(Names(temp_.path()), std::vector<std::string>{"folder"});
  const Status missing = WriteFile(temp_ / "nowhere/a", "text");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().err, ENOENT);
}

TEST(ReplacingOnAFullDisk, KeepsTheOldFile) {
  state::TempFolder temp;
  if (const int err = temp.MountSmall("64k"); err != 0) GTEST_SKIP() << "mounting a tmpfs: " << strerror(err);
  ASSERT_TRUE(WriteFile(temp / "a", "old").has_value());
  const Status status = WriteFile(temp / "a", std::string(1 << 20, 'x'), 0600, Durability::kDurable);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kResourceExhausted);
  EXPECT_EQ(status.error().err, ENOSPC);
  EXPECT_EQ(ReadFile(temp / "a").value_or("?"), "old");
  EXPECT_FALSE(Exists(temp / "a.tmp"));
}

TEST_F(Replacing, ReaderSeesTheOldOrTheNewWhole) {
  const std::string old_text(20'000, 'o');
  const std::string new_text(30'000, 'n');
  ASSERT_TRUE(WriteFile(temp_ / "a", old_text).has_value());
  std::atomic<bool> done = false;
  std::jthread writer([&] {
    for (int i = 0; i < 200; ++i) EXPECT_TRUE(WriteFile(temp_ / "a", i % 2 == 0 ? new_text : old_text).has_value());
    done = true;
  });
  while (!done) {
    const std::string seen = Contents(temp_ / "a");
    EXPECT_TRUE(seen == old_text || seen == new_text) << seen.size() << " bytes";
  }
  writer.join();
}

using Reading = Files;

TEST_F(Reading, StopsAtTheLimit) {
  ASSERT_TRUE(WriteFile(temp_ / "a", std::string(20'000, 'x')).has_value());
  EXPECT_EQ(ReadFile(temp_ / "a", 20'000).value_or("").size(), 20'000u);
  const auto above = ReadFile(temp_ / "a", 19'999);
  ASSERT_FALSE(above);
  EXPECT_EQ(above.error().code, Code::kResourceExhausted);
}

TEST_F(Reading, MissingFileIsToldWithItsPath) {
  const auto text = ReadFile(temp_ / "a");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().err, ENOENT);
  EXPECT_EQ(text.error().message, "open " + (temp_ / "a").native() + ": No such file or directory");
}

TEST_F(Reading, WorksOnFilesOfTheKernelThatTellNoSize) {
  EXPECT_NE(Contents("/proc/self/status").find("SigIgn"), std::string::npos);
}

TEST_F(Reading, OpenedDescriptorsAreCloseOnExec) {
  const auto fd = Open("/dev/null", O_RDONLY);
  const auto root = Open("/", O_PATH);
  ASSERT_TRUE(fd && root);
  const auto in_root = OpenInRoot(root->get(), "dev", O_PATH);
  ASSERT_TRUE(in_root);
  for (const int one : {fd->get(), root->get(), in_root->get()}) EXPECT_NE(fcntl(one, F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(Files, KernelFilesAreNeitherMadeNorCut) {
  EXPECT_FALSE(WriteKernelFile(temp_ / "a", "1").has_value());
  EXPECT_FALSE(Exists(temp_ / "a"));
  ASSERT_TRUE(WriteFile(temp_ / "a", "12345").has_value());
  ASSERT_TRUE(WriteKernelFile(temp_ / "a", "9").has_value());
  EXPECT_EQ(Contents(temp_ / "a"), "92345");
}

TEST_F(Files, MakeDirsTakesWhatIsThere) {
  ASSERT_TRUE(MakeDirs(temp_ / "a/b/c").has_value());
  EXPECT_TRUE(MakeDirs(temp_ / "a/b/c").has_value());
  ASSERT_TRUE(WriteFile(temp_ / "file", "").has_value());
  const Status over = MakeDirs(temp_ / "file");
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().err, EEXIST);
  EXPECT_FALSE(MakeDirs(temp_ / "file/below").has_value());
}

TEST_F(Files, ListOfAMissingFolderIsAnError) {
  const auto names = ListFolder(temp_ / "nowhere");
  ASSERT_FALSE(names);
  EXPECT_EQ(names.error().err, ENOENT);
}

// A root folder beside which a canary lives.
class InRoot : public Files {
 protected:
  void SetUp() override {
    ASSERT_TRUE(MakeDirs(temp_ / "root/in/deep").has_value());
    ASSERT_TRUE(WriteFile(temp_ / "canary", "outside").has_value());
    ASSERT_TRUE(WriteFile(temp_ / "root/canary", "inside").has_value());
    root_ = Open(temp_ / "root", O_PATH | O_DIRECTORY).value_or(UniqueFd());
    ASSERT_TRUE(root_);
  }
  void Link(const std::string& target, const std::string& name) {
    ASSERT_EQ(symlink(target.c_str(), (temp_ / "root" / name).c_str()), 0);
  }
  std::string Read(const Path& path) {
    const auto fd = OpenInRoot(root_.get(), path, O_RDONLY);
    if (!fd) return std::string(strerrorname_np(fd.error().err));
    return ReadAll(fd->get(), 1000, "file").value_or("<unreadable>");
  }
  UniqueFd root_;
};

TEST_F(InRoot, DotsStayInside) {
  EXPECT_EQ(Read("../canary"), "inside");
  EXPECT_EQ(Read("in/../../../../canary"), "inside");
  EXPECT_EQ(Read("/canary"), "inside");
}

TEST_F(InRoot, LinksStayInside) {
  Link("/canary", "absolute");
  Link("../../canary", "in/relative");
  Link((temp_ / "canary").native(), "out");
  Link("/..", "up");
  EXPECT_EQ(Read("absolute"), "inside");
  EXPECT_EQ(Read("in/relative"), "inside");
  EXPECT_EQ(Read("up/canary"), "inside");
  EXPECT_EQ(Read("out"), "ENOENT");
}

TEST_F(InRoot, LoopsAndMagicLinksAreRefused) {
  Link("loop", "loop");
  EXPECT_EQ(Read("loop"), "ELOOP");
  const auto proc = Open("/proc", O_PATH | O_DIRECTORY);
  ASSERT_TRUE(proc);
  const auto magic = OpenInRoot(proc->get(), "self/root", O_PATH);
  ASSERT_FALSE(magic);
  EXPECT_EQ(magic.error().err, ELOOP);
}

TEST_F(InRoot, FifoDoesNotBlock) {
  ASSERT_EQ(mkfifo((temp_ / "root/fifo").c_str(), 0600), 0);
  EXPECT_TRUE(OpenInRoot(root_.get(), "fifo", O_RDONLY | O_NONBLOCK));
}

TEST_F(InRoot, FoldersAreMadeInsideOnly) {
  Link((temp_ / "outside").native(), "out");
  Link("/in", "back");
  ASSERT_TRUE(MakeDirsInRoot(root_.get(), "back/new/one", 0755));
  EXPECT_TRUE(Exists(temp_ / "root/in/new/one"));
  ASSERT_TRUE(MakeDirsInRoot(root_.get(), "../../up", 0755));
  EXPECT_TRUE(Exists(temp_ / "root/up"));
  // The link names a folder that is not there, seen from inside: nothing is made, neither here nor there.
  EXPECT_FALSE(MakeDirsInRoot(root_.get(), "out/x", 0755));
  EXPECT_FALSE(Exists(temp_ / "outside"));
  EXPECT_EQ(Names(temp_.path()), (std::vector<std::string>{"canary", "root"}));
}

TEST_F(InRoot, FileInTheWayIsAnError) {
  const auto made = MakeDirsInRoot(root_.get(), "canary/x", 0755);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().err, ENOTDIR);
}

using Removing = Files;

TEST_F(Removing, FollowsNoLink) {
  ASSERT_TRUE(MakeDirs(temp_ / "tree/a/b").has_value());
  ASSERT_TRUE(MakeDirs(temp_ / "outside").has_value());
  ASSERT_TRUE(WriteFile(temp_ / "outside/canary", "alive").has_value());
  ASSERT_EQ(symlink((temp_ / "outside").c_str(), (temp_ / "tree/a/link").c_str()), 0);
  ASSERT_TRUE(RemoveTree(temp_ / "tree").has_value());
  EXPECT_FALSE(Exists(temp_ / "tree"));
  EXPECT_EQ(Contents(temp_ / "outside/canary"), "alive");
  ASSERT_EQ(symlink((temp_ / "outside").c_str(), (temp_ / "link").c_str()), 0);
  ASSERT_TRUE(RemoveTree(temp_ / "link").has_value());
  EXPECT_EQ(Contents(temp_ / "outside/canary"), "alive");
}

TEST_F(Removing, GoneAlreadyIsSuccess) {
  EXPECT_TRUE(RemoveTree(temp_ / "nowhere").has_value());
  EXPECT_TRUE(RemoveTree(temp_ / "nowhere/below").has_value());
  EXPECT_TRUE(RemoveFile(temp_ / "nowhere").has_value());
}

TEST_F(Removing, DeepTreesAreNoTrouble) {
  Path deep = temp_ / "tree";
  for (int i = 0; i < 300; ++i) deep /= "d";
  ASSERT_TRUE(MakeDirs(deep).has_value());
  EXPECT_TRUE(RemoveTree(temp_ / "tree").has_value());
  EXPECT_FALSE(Exists(temp_ / "tree"));
}

// A container makes trees deeper than any path and than a process has descriptors.
TEST_F(Removing, DepthCostsNoDescriptors) {
  ASSERT_TRUE(MakeDirs(temp_ / "tree").has_value());
  auto folder = Open(temp_ / "tree", O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < 3000 && folder; ++i) {
    ASSERT_EQ(mkdirat(folder->get(), "d", 0755), 0);
    const UniqueFd file(openat(folder->get(), "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    folder = UniqueFd(openat(folder->get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(folder->valid());
  }
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 150;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  const Status removed = RemoveTree(temp_ / "tree");
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(removed) << removed.error().Text();
  EXPECT_FALSE(Exists(temp_ / "tree"));
}

// Of another file system, and of the same one, where only the kernel's word tells that something is mounted.
class RemovingBelowMount : public Files, public testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(Mounts, RemovingBelowMount, testing::Bool());

TEST_P(RemovingBelowMount, LeavesWhatIsMountedThere) {
  const Path place = temp_ / "tree/mounted";
  ASSERT_TRUE(MakeDirs(place).has_value());
  ASSERT_TRUE(MakeDirs(temp_ / "outside").has_value());
  ASSERT_TRUE(WriteFile(temp_ / "tree/file", "").has_value());
  const int failed = GetParam() ? mount("tmpfs", place.c_str(), "tmpfs", 0, "size=64k")
                                : mount((temp_ / "outside").c_str(), place.c_str(), nullptr, MS_BIND, nullptr);
  if (failed != 0) GTEST_SKIP() << "mount: " << strerror(errno);
  const Status written = WriteFile(place / "canary", "alive");
  const Status status = RemoveTree(temp_ / "tree");
  const std::string canary = Contents(place / "canary");
  ASSERT_EQ(umount2(place.c_str(), MNT_DETACH), 0);
  ASSERT_TRUE(written);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().err, EBUSY);
  EXPECT_EQ(canary, "alive");
  EXPECT_FALSE(Exists(temp_ / "tree/file")) << "what is beside it is removed";
}

}  // namespace
}  // namespace berth::base
