#include "container/selinux.h"

#include <sys/xattr.h>
#include <unistd.h>

#include <array>

#include "fixtures.h"

namespace berth::container {
namespace {

cri::SELinuxOption Options(const std::string& user, const std::string& role, const std::string& type,
                           const std::string& level) {
  cri::SELinuxOption out;
  out.set_user(user);
  out.set_role(role);
  out.set_type(type);
  out.set_level(level);
  return out;
}
// "" without one.
std::string LabelOn(const base::Path& path) {
  std::array<char, 256> text{};
  const ssize_t size = lgetxattr(path.c_str(), "security.selinux", text.data(), text.size());
  return size > 0 ? std::string(text.data()) : std::string();
}

TEST(Selinux, PartsOfTheRequestTakeThePlaceOfTheUsualOnes) {
  EXPECT_EQ(ProcessLabel({}, "s0:c1,c2"), "system_u:system_r:container_t:s0:c1,c2");
  EXPECT_EQ(ProcessLabel(Options("", "", "spc_t", ""), "s0:c1,c2"), "system_u:system_r:spc_t:s0:c1,c2");
  EXPECT_EQ(ProcessLabel(Options("u", "r", "t", "s1:c3"), "s0:c1,c2"), "u:r:t:s1:c3");
  EXPECT_EQ(FileLabel("u:r:t:s0:c1,c2"), "system_u:object_r:container_file_t:s0:c1,c2");
  EXPECT_EQ(FileLabel(""), "");
  EXPECT_EQ(LevelOf("u:r:t:s0:c1,c2"), "s0:c1,c2");
  EXPECT_EQ(LevelOf("none"), "");
}

TEST(Selinux, ContainerHasItsPodsLabelUnlessItAsksForMore) {
  const std::string pod = "system_u:system_r:container_t:s0:c1,c2";
  cri::LinuxContainerSecurityContext security;
  EXPECT_EQ(LabelsOf(security, pod).process, pod);
  EXPECT_EQ(LabelsOf(security, pod).files, FileLabel(pod));
  security.set_privileged(true);
  EXPECT_EQ(LabelsOf(security, pod).process, "");
  EXPECT_EQ(LabelsOf(security, pod).files, FileLabel(pod));
  security.set_privileged(false);
  *security.mutable_selinux_options() = Options("", "", "logreader_t", "");
  EXPECT_EQ(LabelsOf(security, pod).process, "system_u:system_r:logreader_t:s0:c1,c2");
  EXPECT_EQ(LabelsOf(security, "").process, "system_u:system_r:logreader_t:s0");
  EXPECT_EQ(LabelsOf({}, "").files, "");
}

TEST(Selinux, LevelsAreOfTwoCategoriesAndNotTaken) {
  std::set<std::string> taken;
  for (int i = 0; i < 200; ++i) {
    const std::string level = ChooseLevel(taken);
    EXPECT_TRUE(CheckSelinux(Options("", "", "", level))) << level;
    EXPECT_TRUE(taken.insert(level).second) << level;
  }
}

TEST(Selinux, WhatNoLabelCanHoldIsRefusedByItsPart) {
  for (const char* level : {"s0", "s15", "s0-s15", "s0:c1", "s0:c1,c2", "s0:c0.c1023", "s0-s3:c1.c5,c9"}) {
    EXPECT_TRUE(CheckSelinux(Options("", "", "", level))) << level;
  }
  for (const char* level : {"0", "s", "s0:", "s0:1", "s0:c1,", "s0:c1 ", "s0,c1", "s0:c1:c2", "s0:c1\"", "s0\n"}) {
    EXPECT_EQ(ErrorOf(CheckSelinux(Options("", "", "", level))).substr(0, 21), "selinux_options.level") << level;
  }
  EXPECT_EQ(ErrorOf(CheckSelinux(Options("a:b", "", "", ""))).substr(0, 20), "selinux_options.user");
  EXPECT_EQ(ErrorOf(CheckSelinux(Options("", "a b", "", ""))).substr(0, 20), "selinux_options.role");
  EXPECT_EQ(ErrorOf(CheckSelinux(Options("", "", "\"", ""))).substr(0, 20), "selinux_options.type");
}

class RelabelTest : public testing::Test {
 protected:
  void SetUp() override {
    SKIP_UNLESS_ROOT("setting security attributes");
    if (HasSelinux()) GTEST_SKIP() << "SELinux knows which labels exist";
    volume_ = temp_.Folder("volume");
    temp_.Folder("volume/sub");
    temp_.File("volume/sub/file");
    temp_.File("outside");
    ASSERT_EQ(symlink((temp_ / "outside").c_str(), (volume_ / "link").c_str()), 0);
    if (!SetLabel(temp_ / "outside", "probe") || LabelOn(temp_ / "outside").empty())
      GTEST_SKIP() << "this file system keeps no labels";
    removexattr((temp_ / "outside").c_str(), "security.selinux");
    mount_.set_container_path("/data");
    mount_.set_host_path(volume_.string());
    mount_.set_selinux_relabel(true);
  }
  std::string Relabel(const std::string& label) {
    cri::ContainerConfig config;
    *config.add_mounts() = mount_;
    kernel::ForeignPaths paths(WithHelper());
    return ErrorOf(RelabelVolumes(config, label, paths, kLong));
  }
  kernel::TempFolder temp_;
  base::Path volume_;
  cri::Mount mount_;
};

TEST_F(RelabelTest, EverythingBelowIsLabelledAndLinksAreNotFollowed) {
  EXPECT_EQ(Relabel("u:r:t:s0"), "");
  for (const char* path : {"volume", "volume/sub", "volume/sub/file"})
    EXPECT_EQ(LabelOn(temp_ / path), "u:r:t:s0") << path;
  EXPECT_EQ(LabelOn(temp_ / "outside"), "");
}

TEST_F(RelabelTest, OnlyWhereItIsAskedForAndNeverFoldersOfTheSystem) {
  EXPECT_EQ(Relabel(""), "");
  mount_.set_selinux_relabel(false);
  EXPECT_EQ(Relabel("u:r:t:s0"), "");
  EXPECT_EQ(LabelOn(volume_), "");
  mount_.set_selinux_relabel(true);
  mount_.set_host_path("/usr/../etc/");
  EXPECT_EQ(Relabel("u:r:t:s0"), "mount /data: selinux_relabel: /etc is a folder of the system");
}

}  // namespace
}  // namespace berth::container
