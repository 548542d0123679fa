#include <gtest/gtest.h>
#include <sys/sysmacros.h>

#include "kernel/mount.h"
#include "temp_folder.h"

namespace berth::kernel {
namespace {

constexpr std::string_view kTable =
    "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n"
    "23 22 0:20 / /proc rw - proc proc rw\n"
    "24 22 0:31 /a\\040b /mnt/with\\040blank\\011tab\\134slash ro,nosuid shared:7 master:3 - fuse.sshfs me@there: rw\n"
    "25 22 0:32 / /mnt/slave rw master:9 propagate_from:2 - tmpfs  rw,size=4k\n"
    "26 22 0:33 / /mnt/odd rw unbindable - tmpfs none rw\n"
    "27 22 0:40 / /srv/data rw - nfs4 host:/x rw\n"
    "28 22 0:41 / /srv rw shared:4 - xfs /dev/b rw\n";

TEST(MountInfo, FieldsAndOctalEscapesAreRead) {
  const auto mounts = ParseMountInfo(kTable);
  ASSERT_OK(mounts);
  ASSERT_EQ(mounts->size(), 7U);
  const MountPoint& one = (*mounts)[2];
  EXPECT_EQ(one.id, 24);
  EXPECT_EQ(one.parent, 22);
  EXPECT_EQ(one.device, makedev(0, 31));
  EXPECT_EQ(one.root, "/a b");
  EXPECT_EQ(one.target, "/mnt/with blank\ttab\\slash");
  EXPECT_EQ(one.options, "ro,nosuid");
  EXPECT_EQ(one.shared, 7);
  EXPECT_EQ(one.master, 3);
  EXPECT_EQ(one.type, "fuse.sshfs");
  EXPECT_EQ(one.source, "me@there:");
  EXPECT_EQ(one.super_options, "rw");
}

TEST(MountInfo, OptionalFieldsMayBeAbsentOrUnknown) {
  const auto mounts = ParseMountInfo(kTable);
  ASSERT_OK(mounts);
  EXPECT_EQ((*mounts)[0].shared, 1);
  EXPECT_EQ((*mounts)[1].shared, 0);
  EXPECT_EQ((*mounts)[3].master, 9);
  EXPECT_EQ((*mounts)[3].shared, 0);
  EXPECT_EQ((*mounts)[4].type, "tmpfs");
}

TEST(MountInfo, SourceMayBeEmpty) {
  const auto mounts = ParseMountInfo(kTable);
  ASSERT_OK(mounts);
  EXPECT_EQ((*mounts)[3].source, "");
  EXPECT_EQ((*mounts)[3].super_options, "rw,size=4k");
}

TEST(MountInfo, BrokenLinesAreErrors) {
  for (const char* line : {"22 1 254:0 / / rw", "x 1 254:0 / / rw - ext4 /dev/vda rw", "1 1 254 / / rw - ext4 a rw",
                           "1 1 1:1 / relative rw - ext4 a rw", "1 1 1:1 / / rw shared:x - ext4 a rw",
                           "1 1 1:1 / / rw shared:1 shared:2 ext4 a rw", "1 1 1:1 / / rw a b c d -"}) {
    EXPECT_FALSE(ParseMountInfo(line).has_value()) << line;
  }
}

TEST(MountInfo, MountOfFollowsTheTreeOfMounts) {
  const auto mounts = ParseMountInfo(kTable);
  ASSERT_OK(mounts);
  const std::pair<const char*, int> table[] = {{"/", 22},           {"/etc", 22},   {"/proc", 23},
                                               {"/proc/1/ns", 23},  {"/procx", 22}, {"/mnt/slave", 25},
                                               {"/mnt/slave/a", 25}};
  for (const auto& [path, id] : table) EXPECT_EQ(MountOf(*mounts, path)->id, id) << path;
}

TEST(MountInfo, LaterMountAboveHidesEarlierOneBelow) {
  const auto mounts = ParseMountInfo(kTable);
  ASSERT_OK(mounts);
  EXPECT_EQ(MountOf(*mounts, "/srv/data/x")->id, 28);
}

TEST(MountInfo, MountOfWithoutRootIsNull) {
  const auto mounts = ParseMountInfo("23 22 0:20 / /proc rw - proc proc rw\n");
  ASSERT_OK(mounts);
  EXPECT_EQ(MountOf(*mounts, "/proc"), nullptr);
}

TEST(MountInfo, HostsOwnTableIsRead) {
  const auto mounts = Mounts();
  ASSERT_OK(mounts);
  ASSERT_NE(MountOf(*mounts, "/"), nullptr);
  EXPECT_EQ(MountOf(*mounts, "/proc/self")->type, "proc");
  EXPECT_EQ(*IsMountPoint("/proc"), true);
  EXPECT_EQ(*IsMountPoint("/proc/self"), false);
  EXPECT_EQ(*IsMountPoint("/no/such/path"), false);
}

TEST(MountInfo, PropagationOfRelativePathIsRefused) {
  EXPECT_CODE(PropagationOf("etc"), base::Code::kInvalidArgument);
}

}  // namespace
}  // namespace berth::kernel
