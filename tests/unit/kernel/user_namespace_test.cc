#include "kernel/user_namespace.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/strings.h"
#include "kernel/mount.h"
#include "kernel/namespace.h"
#include "temp_folder.h"

namespace berth::kernel {
namespace {

const UserMap kMap{.uids = {.host = 500000, .size = 1000}, .gids = {.host = 600000, .size = 1000}};

struct stat StatOf(const base::Path& path) {
  struct stat info {};
  EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
  return info;
}

class UserNamespaceTest : public testing::Test {
 protected:
  void SetUp() override { SKIP_UNLESS_ROOT("making user namespaces"); }
  NamespaceRequest Request() {
    return {.net = temp_ / "ns/net",
            .ipc = temp_ / "ns/ipc",
            .uts = temp_ / "ns/uts",
            .user = temp_ / "ns/user",
            .map = kMap,
            .helper = BERTH_HELPER,
            .hostname = "mapped"};
  }
  void UnpinAll() {
    for (const char* kind : {"net", "ipc", "uts", "user"}) EXPECT_OK(UnpinNamespace(temp_ / "ns" / kind));
  }
  TempFolder temp_;
};

TEST_F(UserNamespaceTest, OwnsTheOthersOfItsPod) {
  ASSERT_OK(CreateNamespaces(Request()));
  const ino_t user = StatOf(temp_ / "ns/user").st_ino;
  EXPECT_NE(user, StatOf("/proc/self/ns/user").st_ino);
  for (const char* kind : {"net", "ipc", "uts"}) {
    const auto space = base::Open(temp_ / "ns" / kind, O_RDONLY);
    ASSERT_OK(space);
    const base::UniqueFd owner(ioctl(space->get(), NS_GET_USERNS));
    ASSERT_TRUE(owner) << kind;
    EXPECT_EQ(StatOf(base::Cat("/proc/self/fd/", owner.get())).st_ino, user) << kind;
  }
  UnpinAll();
}

TEST_F(UserNamespaceTest, FailureLeavesNothingPinned) {
  NamespaceRequest request = Request();
  request.helper = "/bin/true";
  EXPECT_FALSE(CreateNamespaces(request));
  request.helper = BERTH_HELPER;
  request.map.uids.size = 0;
  EXPECT_FALSE(CreateNamespaces(request));
  temp_.Folder("ns");
  temp_.File("ns/uts", "");
  EXPECT_FALSE(CreateNamespaces(Request()));
  for (const char* kind : {"net", "ipc", "user"}) EXPECT_FALSE(base::Exists(temp_ / "ns" / kind)) << kind;
}

TEST_F(UserNamespaceTest, MappedMountShowsWhatBelongsToRootAsThePodsRoots) {
  ASSERT_OK(CreateNamespaces({.user = temp_ / "ns/user", .map = kMap, .helper = BERTH_HELPER}));
  temp_.Folder("images");
  temp_.File("images/file", "x");
  temp_.File("images/other", "x");
  ASSERT_EQ(chown((temp_ / "images/other").c_str(), 999, 1000), 0);  // the last id of the map, and the first beyond
  const base::Path seen = temp_.Folder("seen");
  const auto can = CanMountMapped(temp_ / "images", BERTH_HELPER);
  ASSERT_OK(can);
  const base::Status mounted = MountMapped(temp_ / "images", seen, temp_ / "ns/user");
  if (!*can) {
    EXPECT_FALSE(mounted);
  } else {
    ASSERT_OK(mounted);
    EXPECT_EQ(StatOf(seen / "file").st_uid, 500000U);
    EXPECT_EQ(StatOf(seen / "file").st_gid, 600000U);
    EXPECT_EQ(StatOf(seen / "other").st_uid, 500999U);
    EXPECT_EQ(StatOf(seen / "other").st_gid, 65534U);
    EXPECT_OK(Unmount(seen));
  }
  EXPECT_OK(UnpinNamespace(temp_ / "ns/user"));
}

}  // namespace
}  // namespace berth::kernel
