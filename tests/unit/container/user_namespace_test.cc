#include "container/user_namespace.h"

#include "fixtures.h"
#include "oci/spec.h"

namespace berth::container {
namespace {

using Words = std::vector<std::string>;

oci::Device Node(const std::string& path) {
  return {.type = "c", .path = path, .major = 1, .minor = 5, .file_mode = {}, .uid = {}, .gid = {}};
}

TEST(RenamedDevices, BecomeMountsAndTheOthersStay) {
  cri::ContainerConfig config;
  const auto ask = [&](const std::string& host, const std::string& container) {
    config.add_devices()->set_host_path(host);
    config.mutable_devices(config.devices_size() - 1)->set_container_path(container);
  };
  ask("/dev/zero", "/dev/mine");
  ask("/dev/net", "/dev/nets");
  ask("/dev/full", "");
  ask("/dev/null", "/dev/null/");
  oci::Spec spec;
  for (const char* path : {"/dev/mine", "/dev/nets/tun", "/dev/full", "/dev/other", "/dev/minery"})
    spec.devices.push_back(Node(path));
  BindRenamedDevices(config, spec);
  Words left, bound;
  for (const oci::Device& device : spec.devices) left.push_back(device.path);
  for (const oci::Mount& mount : spec.mounts) bound.push_back(mount.source + " " + mount.destination);
  EXPECT_EQ(left, (Words{"/dev/full", "/dev/other", "/dev/minery"}));
  EXPECT_EQ(bound, (Words{"/dev/zero /dev/mine", "/dev/net/tun /dev/nets/tun"}));
}

}  // namespace
}  // namespace berth::container
