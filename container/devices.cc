#include "container/devices.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "base/file.h"
#include "cri-proto/api.pb.h"

namespace berth::container {
namespace {

using base::Code;
using base::Fail;
using Kind = kernel::ForeignPath::Kind;

// null, zero, full, tty, random, urandom, console, ptmx and every pts; and mknod of anything, which needs the
// capability as well.
std::vector<oci::DeviceRule> DefaultRules() {
  std::vector<oci::DeviceRule> out;
  out.push_back({.allow = false, .type = "a", .access = "rwm"});
  out.push_back({.allow = true, .type = "c", .access = "m"});
  out.push_back({.allow = true, .type = "b", .access = "m"});
  constexpr std::array<std::pair<int, int>, 8> kChar = {{{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 1}, {5, 2}}};
  for (const auto& [major, minor] : kChar) {
    out.push_back({.allow = true, .type = "c", .major = major, .minor = minor, .access = "rwm"});
  }
  out.push_back({.allow = true, .type = "c", .major = 136, .access = "rwm"});
  return out;
}

// Folders and files that are no devices of the host, or belong to a container manager.
bool Skipped(std::string_view name) {
  constexpr std::array<std::string_view, 8> kNames = {"pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

constexpr int kMaxDepth = 8;
constexpr size_t kMaxDevices = 10'000;

base::Status AddHostDevices(const base::Path& folder, int depth, std::vector<oci::Device>& out) {
  auto names = base::ListFolder(folder);
  // /dev changes while it is read.
  if (!names) return names.error().err == ENOENT ? base::Status() : base::Status(tl::make_unexpected(names.error()));
  std::sort(names->begin(), names->end());
  for (const std::string& name : *names) {
    if (Skipped(name)) continue;
    const base::Path path = folder / name;
    struct stat info {};
    if (lstat(path.c_str(), &info) != 0) continue;
    if (S_ISDIR(info.st_mode)) {
      if (depth < kMaxDepth) RETURN_IF_ERROR(AddHostDevices(path, depth + 1, out));
      continue;
    }
    if (!S_ISBLK(info.st_mode) && !S_ISCHR(info.st_mode)) continue;
    if (out.size() >= kMaxDevices) return Fail(Code::kResourceExhausted, "/dev holds more than ", kMaxDevices, " devices");
    out.push_back({.type = S_ISBLK(info.st_mode) ? "b" : "c",
                   .path = path.native(),
                   .major = major(info.st_rdev),
                   .minor = minor(info.st_rdev),
                   .file_mode = info.st_mode & 07777,
                   .uid = info.st_uid,
                   .gid = info.st_gid});
  }
  return {};
}

base::Status AddRequested(const cri::Device& device, kernel::ForeignPaths& paths, const base::Context& context, DevicePlan& plan) {
  if (device.host_path().empty() || device.host_path().front() != '/') return Fail(Code::kInvalidArgument, "host_path is not absolute");
  const std::string container_path = device.container_path().empty() ? device.host_path() : device.container_path();
  if (container_path.front() != '/') return Fail(Code::kInvalidArgument, "container_path is not absolute");
  const std::string access = device.permissions().empty() ? "rwm" : device.permissions();
  if (access.find_first_not_of("rwm") != std::string::npos) {
    return Fail(Code::kInvalidArgument, "permissions \"", access, "\" are not of r, w and m");
  }
  ASSIGN_OR_RETURN(const kernel::ForeignPath host, paths.Inspect(device.host_path(), context));
  if (!host.exists) return Fail(Code::kInvalidArgument, "no such device");
  if (host.kind == Kind::kFolder) return Fail(Code::kUnimplemented, "a folder of devices is not supported by this version");
  if (host.kind != Kind::kBlockDevice && host.kind != Kind::kCharDevice) return Fail(Code::kInvalidArgument, "not a device");
  const std::string type = host.kind == Kind::kBlockDevice ? "b" : "c";
  plan.devices.push_back({.type = type,
                          .path = container_path,
                          .major = major(host.rdev),
                          .minor = minor(host.rdev),
                          .file_mode = host.mode,
                          .uid = host.uid,
                          .gid = host.gid});
  plan.rules.push_back({.allow = true, .type = type, .major = major(host.rdev), .minor = minor(host.rdev), .access = access});
  return {};
}

}  // namespace

base::Result<DevicePlan> MapDevices(const cri::ContainerConfig& config, kernel::ForeignPaths& paths,
                                    const base::Context& context) {
  DevicePlan plan;
  if (config.linux().security_context().privileged()) {
    RETURN_IF_ERROR(AddHostDevices("/dev", 0, plan.devices));
    plan.rules.push_back({.allow = true, .type = "a", .access = "rwm"});
  } else {
    plan.rules = DefaultRules();
  }
  for (const cri::Device& device : config.devices()) {
    RETURN_IF_ERROR(AddRequested(device, paths, context, plan), "device ", device.host_path());
  }
  return plan;
}

}  // namespace berth::container
