#include "container/mounts.h"

#include <sched.h>
#include <sys/mount.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "fixtures.h"

namespace berth::container {
namespace {

using Words = std::vector<std::string>;

// One line a mount: "destination type source options".
Words Lines(const MountPlan& plan) {
  Words out;
  for (const oci::Mount& mount : plan.mounts) {
    out.push_back(
        base::Cat(mount.destination, " ", mount.type, " ", mount.source, " ", base::Join(mount.options, ",")));
  }
  return out;
}
Words Destinations(const MountPlan& plan) {
  Words out;
  for (const oci::Mount& mount : plan.mounts) out.push_back(mount.destination);
  return out;
}

class MountsTest : public testing::Test {
 protected:
  cri::Mount& Add(const std::string& container_path, const base::Path& host_path) {
    cri::Mount& mount = *config_.add_mounts();
    mount.set_container_path(container_path);
    mount.set_host_path(host_path.native());
    return mount;
  }
  base::Result<MountPlan> Map() {
    kernel::ForeignPaths paths(WithHelper());
    return MapMounts(config_, pod_, options_, paths, kLong);
  }
  // The only mount of the request, or the error's text.
  std::string MapOne(const std::string& container_path = "/data") {
    const auto plan = Map();
    if (!plan) return plan.error().message;
    for (const oci::Mount& mount : plan->mounts) {
      if (mount.destination == container_path) return base::Join(mount.options, ",");
    }
    return "none";
  }

  kernel::TempFolder temp_;
  cri::ContainerConfig config_ = SomeContainer();
  Pod pod_ = SomePod();
  MountOptions options_;
};

TEST_F(MountsTest, DefaultsAreTheSheets) {
  const auto plan = Map();
  ASSERT_TRUE(plan);
  EXPECT_EQ(Lines(*plan), (Words{
                              "/proc proc proc nosuid,noexec,nodev",
                              "/dev tmpfs tmpfs nosuid,strictatime,mode=755,size=65536k",
                              "/dev/pts devpts devpts nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5",
                              "/dev/mqueue mqueue mqueue nosuid,noexec,nodev",
                              "/sys sysfs sysfs nosuid,noexec,nodev,ro",
                              "/sys/fs/cgroup cgroup cgroup nosuid,noexec,nodev,relatime,ro",
                              "/dev/shm bind /run/berth/p1/shm rw,rbind,nosuid,nodev,noexec",
                              "/etc/resolv.conf bind /run/berth/p1/resolv.conf rbind,rw",
                              "/etc/hostname bind /run/berth/p1/hostname rbind,rw",
                              "/etc/hosts bind /run/berth/p1/hosts rbind,rw",
                          }));
  EXPECT_EQ(plan->rootfs_propagation, "");
}

TEST_F(MountsTest, SystemdHasFileSystemsOfItsOwnAndOnV2ItsCgroup) {
  options_.systemd = true;
  options_.cgroup_v2 = true;
  Add("/run", temp_.path());
  const auto plan = Map();
  ASSERT_TRUE(plan);
  const Words lines = Lines(*plan);
  for (const char* line : {"/run/lock tmpfs tmpfs rw,rprivate,noexec,nosuid,nodev,tmpcopyup",
                           "/tmp tmpfs tmpfs rw,rprivate,noexec,nosuid,nodev,tmpcopyup",
                           "/var/log/journal tmpfs tmpfs rw,rprivate,noexec,nosuid,nodev,tmpcopyup",
                           "/sys/fs/cgroup cgroup cgroup nosuid,noexec,nodev,relatime,rw"})
    EXPECT_EQ(std::count(lines.begin(), lines.end(), line), 1) << line;
  const Words order = Destinations(*plan);
  EXPECT_EQ(std::count(order.begin(), order.end(), "/run"), 1) << "the request's";
  EXPECT_LT(std::find(order.begin(), order.end(), "/run"), std::find(order.begin(), order.end(), "/run/lock"));
  options_.cgroup_v2 = false;
  const auto v1 = Map();
  ASSERT_TRUE(v1);
  const Words on_v1 = Lines(*v1);
  EXPECT_EQ(std::count(on_v1.begin(), on_v1.end(), "/sys/fs/cgroup cgroup cgroup nosuid,noexec,nodev,relatime,ro"), 1);
}

TEST_F(MountsTest, PrivilegedMayWriteSys) {
  Security(config_).set_privileged(true);
  const auto plan = Map();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->mounts[4].options.back(), "rw");
  EXPECT_EQ(plan->mounts[5].options.back(), "rw");
}

TEST_F(MountsTest, ReadonlyRootMakesThePodsFilesReadonly) {
  Security(config_).set_readonly_rootfs(true);
  const auto plan = Map();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->mounts[6].options.front(), "rw");  // shm stays
  for (size_t i = 7; i < 10; ++i) EXPECT_EQ(plan->mounts[i].options.back(), "ro") << plan->mounts[i].destination;
}

TEST_F(MountsTest, RequestReplacesTheDefaultAtTheSamePlace) {
  Add("/etc//hosts/", temp_.File("hosts"));
  const auto plan = Map();
  ASSERT_TRUE(plan) << ErrorOf(plan);
  const Words all = Destinations(*plan);
  EXPECT_EQ(std::count(all.begin(), all.end(), "/etc/hosts"), 1);
  EXPECT_EQ(plan->mounts.back().source, (temp_ / "hosts").native());
}

TEST_F(MountsTest, DevAndSysReplaceWhatLiesBelowToo) {
  Add("/dev", temp_.Folder("dev"));
  Add("/sys", temp_.Folder("sys"));
  const auto plan = Map();
  ASSERT_TRUE(plan);
  EXPECT_EQ(Destinations(*plan), (Words{"/proc", "/dev", "/sys", "/etc/resolv.conf", "/etc/hostname", "/etc/hosts"}));
}

TEST_F(MountsTest, ParentsComeBeforeChildrenThePodsFilesIncluded) {
  Add("/a/b/c", temp_.Folder("x"));
  Add("/etc", temp_.Folder("x"));
  Add("/a", temp_.Folder("x"));
  Add("/b/../a/b", temp_.Folder("x"));
  const auto plan = Map();
  ASSERT_TRUE(plan);
  const Words all = Destinations(*plan);
  EXPECT_EQ(Words(all.begin() + 6, all.end()),
            (Words{"/etc", "/a", "/dev/shm", "/etc/resolv.conf", "/etc/hostname", "/etc/hosts", "/a/b", "/a/b/c"}));
}

TEST_F(MountsTest, OptionsSayWhatWasAsked) {
  Add("/data", temp_.Folder("x"));
  EXPECT_EQ(MapOne(), "rbind,rprivate,rw");
  config_.mutable_mounts(0)->set_readonly(true);
  EXPECT_EQ(MapOne(), "rbind,rprivate,ro");
  for (const char* option : {"noexec", "nodev", "nosuid"}) config_.mutable_mounts(0)->add_mount_options(option);
  EXPECT_EQ(MapOne(), "rbind,rprivate,ro,noexec,nodev,nosuid");
  config_.mutable_mounts(0)->add_mount_options("exec");
  EXPECT_EQ(MapOne(), "mount /data: mount_options: \"exec\" is not one of noexec, nodev, nosuid");
}

TEST_F(MountsTest, RecursiveReadonlyNeedsMuch) {
  cri::Mount& mount = Add("/data", temp_.Folder("x"));
  mount.set_recursive_read_only(true);
  options_.recursive_read_only = true;
  EXPECT_EQ(MapOne(), "mount /data: recursive_read_only needs readonly");
  mount.set_readonly(true);
  EXPECT_EQ(MapOne(), "rbind,rprivate,rro");
  mount.set_propagation(cri::PROPAGATION_HOST_TO_CONTAINER);
  EXPECT_EQ(MapOne(), "mount /data: recursive_read_only needs private propagation");
  mount.set_propagation(cri::PROPAGATION_PRIVATE);
  options_.recursive_read_only = false;
  EXPECT_EQ(MapOne(),
            "mount /data: RROUnsupported: the runtime handler or the kernel has no recursive read-only mounts");
}

TEST_F(MountsTest, MissingHostPathBecomesAFolder) {
  Add("/data", temp_ / "new/deep");
  EXPECT_EQ(MapOne(), "rbind,rprivate,rw");
  EXPECT_TRUE(std::filesystem::is_directory(temp_ / "new/deep"));
}

TEST_F(MountsTest, LinksOfTheHostAreResolved) {
  std::filesystem::create_symlink(temp_.Folder("real"), temp_ / "link");
  Add("/data", temp_ / "link");
  const auto plan = Map();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->mounts[6].source, (temp_ / "real").native());
}

TEST_F(MountsTest, ImpossibleRequestsAreRefusedByName) {
  struct Case {
    const char* container_path;
    const char* host_path;
    const char* reason;
  };
  for (const Case& one : {Case{"", "/x", "mount : container_path is missing"},
                          Case{"data", "/x", "mount data: container_path is not absolute"},
                          Case{"/a/..", "/x", "mount /a/..: container_path cannot be the root"},
                          Case{"/data", "", "mount /data: host_path is missing"},
                          Case{"/data", "x", "mount /data: host_path is not absolute"}}) {
    config_.clear_mounts();
    Add(one.container_path, one.host_path);
    EXPECT_EQ(MapOne(), one.reason);
  }
}

TEST_F(MountsTest, WhatIsNotSupportedIsRefusedNotDropped) {
  Add("/data", temp_.Folder("x")).set_image_sub_path("a");
  EXPECT_EQ(MapOne(), "mount /data: image_sub_path needs an image");
}

TEST_F(MountsTest, SourceThatIsBoundAlreadyTakesTheOthersPlace) {
  Add("/other", temp_.Folder("x"));
  Add("/data", temp_.Folder("y")).set_readonly(true);
  options_.bound = {{}, "/run/bound/1"};
  EXPECT_EQ(MapOne(), "rbind,rprivate,ro");
  const auto plan = Map();
  ASSERT_TRUE(plan);
  const auto data = std::find_if(plan->mounts.begin(), plan->mounts.end(),
                                 [](const oci::Mount& mount) { return mount.destination == "/data"; });
  ASSERT_NE(data, plan->mounts.end());
  EXPECT_EQ(data->source, "/run/bound/1");
}

TEST_F(MountsTest, UserNamespaceDecidesOverSysAndTheGroupOfTerminals) {
  const auto mount = [&](const std::string& destination) {
    const auto plan = Map();
    EXPECT_TRUE(plan);
    const auto found = std::find_if(plan->mounts.begin(), plan->mounts.end(),
                                    [&](const oci::Mount& one) { return one.destination == destination; });
    return base::Cat(found->type, " ", base::Join(found->options, ","));
  };
  pod_.user_namespace = {.path = "/run/berth/p1/ns/user",
                         .map = {.uids = {.host = 100000, .size = 1000}, .gids = {.host = 100000, .size = 5}},
                         .images = {}};
  EXPECT_EQ(mount("/sys"), "sysfs nosuid,noexec,nodev,ro");
  EXPECT_EQ(mount("/dev/pts"), "devpts nosuid,noexec,newinstance,ptmxmode=0666,mode=0620");
  pod_.user_namespace->map.gids.size = 6;
  EXPECT_EQ(mount("/dev/pts"), "devpts nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5");
  pod_.net_namespace.clear();
  EXPECT_EQ(mount("/sys"), "bind rbind,rprivate,nosuid,noexec,nodev,ro");
  options_.recursive_read_only = true;
  EXPECT_EQ(mount("/sys"), "bind rbind,rprivate,nosuid,noexec,nodev,rro");
}

TEST_F(MountsTest, ImageVolumeIsAReadOnlyBindOfWhatWasMounted) {
  Add("/other", temp_.Folder("x"));
  Add("/data", "").mutable_image()->set_image("volume:1");
  config_.mutable_mounts(1)->add_mount_options("noexec");
  options_.image_volumes = {{}, "/run/volumes/1"};
  EXPECT_EQ(MapOne(), "bind,rprivate,ro,noexec");
  EXPECT_EQ(MapOne("/other"), "rbind,rprivate,rw");
  const auto plan = Map();
  ASSERT_TRUE(plan);
  const auto volume = std::find_if(plan->mounts.begin(), plan->mounts.end(),
                                   [](const oci::Mount& mount) { return mount.destination == "/data"; });
  ASSERT_NE(volume, plan->mounts.end());
  EXPECT_EQ(volume->source, "/run/volumes/1");
}

TEST_F(MountsTest, MountThatHoldsOurOwnFollowsTheHost) {
  options_.own_roots = {temp_.Folder("state/berth")};
  for (const char* path : {"state/berth", "state"}) {
    config_.clear_mounts();
    Add("/data", temp_ / path);
    EXPECT_EQ(MapOne(), "rbind,rslave,rw") << path;
  }
  config_.clear_mounts();
  Add("/data", "/");
  EXPECT_EQ(MapOne(), "rbind,rslave,rw");
  config_.clear_mounts();
  Add("/data", temp_.Folder("state/berth2"));
  EXPECT_EQ(MapOne(), "rbind,rprivate,rw");
}

// On a thread with a mount namespace of its own, where the folder is a mount as shared as `flags` say.
template <typename Check>
void WithMount(const base::Path& folder, unsigned long flags, Check check) {
  std::thread([&] {
    ASSERT_EQ(unshare(CLONE_FS | CLONE_NEWNS), 0);
    ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(mount("test", folder.c_str(), "tmpfs", 0, "size=64k"), 0);
    ASSERT_EQ(mount(nullptr, folder.c_str(), nullptr, flags, nullptr), 0);
    check();
    ASSERT_EQ(umount2(folder.c_str(), MNT_DETACH), 0);
  }).join();
}

TEST_F(MountsTest, PropagationNeedsAMountThatPropagates) {
  SKIP_UNLESS_ROOT("making mounts");
  const base::Path folder = temp_.Folder("m");
  cri::Mount& mount = Add("/data", folder);
  mount.set_propagation(cri::PROPAGATION_HOST_TO_CONTAINER);
  WithMount(folder, MS_PRIVATE, [&] {
    EXPECT_EQ(MapOne(), base::Cat("mount /data: path ", folder.native(), " is mounted on ", folder.native(),
                                  " but it is not a shared or slave mount"));
    mount.set_propagation(cri::PROPAGATION_BIDIRECTIONAL);
    EXPECT_EQ(MapOne(), base::Cat("mount /data: path ", folder.native(), " is mounted on ", folder.native(),
                                  " but it is not a shared mount"));
  });
  WithMount(folder, MS_SHARED, [&] {
    Add("/other", folder).set_propagation(cri::PROPAGATION_HOST_TO_CONTAINER);
    const auto plan = Map();
    ASSERT_TRUE(plan) << ErrorOf(plan);
    EXPECT_EQ(plan->rootfs_propagation, "rshared");  // the stronger of both
    EXPECT_EQ(MapOne("/data"), "rbind,rshared,rw");
    EXPECT_EQ(MapOne("/other"), "rbind,rslave,rw");
    config_.mutable_mounts()->DeleteSubrange(0, 1);
    const auto slave = Map();
    ASSERT_TRUE(slave);
    EXPECT_EQ(slave->rootfs_propagation, "rslave");
  });
}

TEST_F(MountsTest, PathIsCoveredByAMountThereOrAbove) {
  Add("/data/", temp_.path());
  EXPECT_TRUE(IsCovered(config_, "/data"));
  EXPECT_TRUE(IsCovered(config_, "/data/../data/x"));
  EXPECT_FALSE(IsCovered(config_, "/database"));
  EXPECT_FALSE(IsCovered(config_, "/"));
}

TEST_F(MountsTest, UnknownPropagationIsPrivate) {
  Add("/data", temp_.Folder("x")).set_propagation(static_cast<cri::MountPropagation>(7));
  EXPECT_EQ(MapOne(), "rbind,rprivate,rw");
}

}  // namespace
}  // namespace berth::container
