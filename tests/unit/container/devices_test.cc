#include "container/devices.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <filesystem>
#include <set>

#include "fixtures.h"

namespace berth::container {
namespace {

using Words = std::vector<std::string>;

std::string Number(const std::optional<int64_t>& number) {
  return number ? std::to_string(*number) : "*";
}
std::string Line(const oci::DeviceRule& rule) {
  return base::Cat(rule.allow ? "allow " : "deny ", rule.type, " ", Number(rule.major), ":", Number(rule.minor), " ",
                   rule.access);
}

class DevicesTest : public testing::Test {
 protected:
  void Add(const base::Path& host_path, const std::string& container_path = {}, const std::string& permissions = {}) {
    cri::Device& device = *config_.add_devices();
    device.set_host_path(host_path.native());
    device.set_container_path(container_path);
    device.set_permissions(permissions);
  }
  base::Result<DevicePlan> Map() {
    kernel::ForeignPaths paths(WithHelper());
    return MapDevices(config_, paths, kLong, options_);
  }
  void ExpectRefused(const std::string& message) {
    const auto plan = Map();
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().code, base::Code::kInvalidArgument);
    EXPECT_EQ(plan.error().message, message);
  }
  kernel::TempFolder temp_;
  cri::ContainerConfig config_ = SomeContainer();
  DeviceOptions options_;
};

TEST_F(DevicesTest, EverythingIsDeniedButTheUsual) {
  const auto plan = Map();
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->devices.empty());
  Words rules;
  for (const auto& rule : plan->rules) rules.push_back(Line(rule));
  EXPECT_EQ(rules, (Words{"deny a *:* rwm", "allow c *:* m", "allow b *:* m", "allow c 1:3 rwm", "allow c 1:5 rwm",
                          "allow c 1:7 rwm", "allow c 1:8 rwm", "allow c 1:9 rwm", "allow c 5:0 rwm", "allow c 5:1 rwm",
                          "allow c 5:2 rwm", "allow c 136:* rwm"}));
}

TEST_F(DevicesTest, RequestedDeviceIsMadeAsTheHosts) {
  Add("/dev/zero", "/dev/a/../nothing", "r");
  const auto plan = Map();
  ASSERT_TRUE(plan) << ErrorOf(plan);
  struct stat host {};
  ASSERT_EQ(stat("/dev/zero", &host), 0);
  ASSERT_EQ(plan->devices.size(), 1u);
  EXPECT_EQ(plan->devices[0].path, "/dev/nothing");
  EXPECT_EQ(plan->devices[0].type, "c");
  EXPECT_EQ(plan->devices[0].major, 1);
  EXPECT_EQ(plan->devices[0].minor, 5);
  EXPECT_EQ(plan->devices[0].file_mode, host.st_mode & 07777U);
  EXPECT_EQ(plan->devices[0].uid, host.st_uid);
  EXPECT_EQ(Line(plan->rules.back()), "allow c 1:5 r");
}

TEST_F(DevicesTest, WithoutPathAndPermissionsTheHostsPathAndAll) {
  Add("/dev/full");
  const auto plan = Map();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->devices[0].path, "/dev/full");
  EXPECT_EQ(Line(plan->rules.back()), "allow c 1:7 rwm");
}

TEST_F(DevicesTest, LinkStandsForItsDevice) {
  std::filesystem::create_symlink("/dev/null", temp_ / "link");
  Add(temp_ / "link", "/dev/x");
  const auto plan = Map();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->devices[0].minor, 3);
}

TEST_F(DevicesTest, OneNodeForEachPath) {
  Add("/dev/null", "/dev/x");
  Add("/dev/zero", "/dev/x");
  const auto plan = Map();
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->devices.size(), 1u);
  EXPECT_EQ(plan->devices[0].minor, 5);
}

TEST_F(DevicesTest, FolderBelowDevIsEveryDeviceInIt) {
  SKIP_UNLESS_ROOT("making devices");
  const base::Path folder = "/dev/berth-test-" + base::RandomId().substr(0, 16);
  ASSERT_TRUE(base::MakeDirs(folder / "sub"));
  if (mknod((folder / "sub/one").c_str(), S_IFCHR | 0600, makedev(1, 3)) != 0) {
    ASSERT_TRUE(base::RemoveTree(folder));
    GTEST_SKIP() << "devices cannot be made here";
  }
  ASSERT_TRUE(base::WriteFile(folder / "file", ""));
  Add(folder, "/dev/mine", "rw");
  const auto plan = Map();
  ASSERT_TRUE(base::RemoveTree(folder));
  ASSERT_TRUE(plan) << ErrorOf(plan);
  ASSERT_EQ(plan->devices.size(), 1u);
  EXPECT_EQ(plan->devices[0].path, "/dev/mine/sub/one");
  EXPECT_EQ(Line(plan->rules.back()), "allow c 1:3 rw");
}

TEST_F(DevicesTest, WhatIsNoDeviceIsRefused) {
  const base::Path file = temp_.File("file");
  const base::Path folder = temp_.Folder("folder");
  struct Case {
    base::Path host_path;
    const char* reason;
  };
  for (const Case& one : {Case{"", "host_path is not absolute"}, Case{"dev/null", "host_path is not absolute"},
                          Case{"/dev/no-such", "no such device"}, Case{file, "not a device"},
                          Case{folder, "a folder of devices must lie below /dev"}}) {
    config_.clear_devices();
    Add(one.host_path);
    ExpectRefused(base::Cat("device ", one.host_path.native(), ": ", one.reason));
  }
  config_.clear_devices();
  Add("/dev/null", "relative");
  ExpectRefused("device /dev/null: container_path is not absolute");
  config_.clear_devices();
  Add("/dev/null", "", "rwx");
  ExpectRefused("device /dev/null: permissions \"rwx\" are not of r, w and m");
}

TEST_F(DevicesTest, PrivilegedHasTheHostsDevicesAndMayUseAll) {
  Security(config_).set_privileged(true);
  Add("/dev/null", "/dev/mine");
  Add("/dev/zero", "/dev/zero");
  const auto plan = Map();
  ASSERT_TRUE(plan) << ErrorOf(plan);
  EXPECT_EQ(Line(plan->rules.front()), "allow a *:* rwm");
  std::set<std::string> paths;
  for (const oci::Device& device : plan->devices) {
    EXPECT_TRUE(paths.insert(device.path).second) << device.path << " twice";
    EXPECT_FALSE(device.path.starts_with("/dev/pts/") || device.path.starts_with("/dev/shm/") ||
                 device.path == "/dev/console")
        << device.path;
    if (device.path == "/dev/mine") {
      EXPECT_EQ(device.minor, 3);
    }
  }
  EXPECT_TRUE(paths.contains("/dev/null") && paths.contains("/dev/zero") && paths.contains("/dev/mine"));
}

TEST_F(DevicesTest, PrivilegedHidesNoDeviceOfTheHostBehindAnother) {
  Security(config_).set_privileged(true);
  Add("/dev/null", "/dev/zero");
  ExpectRefused(
      "device /dev/null: container_path /dev/zero is a device of the host, which a privileged container has there");
}

TEST_F(DevicesTest, PrivilegedWithoutTheHostsDevicesIsLikeOthers) {
  Security(config_).set_privileged(true);
  options_.without_host_devices = true;
  Add("/dev/zero", "/dev/mine", "r");
  const auto plan = Map();
  ASSERT_TRUE(plan) << ErrorOf(plan);
  ASSERT_EQ(plan->devices.size(), 1u);
  EXPECT_EQ(plan->devices[0].path, "/dev/mine");
  EXPECT_EQ(Line(plan->rules.front()), "deny a *:* rwm");
  EXPECT_EQ(Line(plan->rules.back()), "allow c 1:5 r");
}

TEST_F(DevicesTest, RequestedDevicesBelongToTheContainersUserWhenAsked) {
  Security(config_).mutable_run_as_user()->set_value(1000);
  Security(config_).mutable_run_as_group()->set_value(2000);
  Add("/dev/zero");
  auto plan = Map();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->devices[0].uid, 0u);
  options_.owner_from_security_context = true;
  plan = Map();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->devices[0].uid, 1000u);
  EXPECT_EQ(plan->devices[0].gid, 2000u);
}

}  // namespace
}  // namespace berth::container
