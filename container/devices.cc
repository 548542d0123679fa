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
  constexpr std::array<std::pair<int, int>, 8> kChar = {
      {{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 1}, {5, 2}}};
  for (const auto& [major, minor] : kChar) {
    out.push_back({.allow = true, .type = "c", .major = major, .minor = minor, .access = "rwm"});
  }
  out.push_back({.allow = true, .type = "c", .major = 136, .access = "rwm"});
  return out;
}

// Folders and files that are no devices of the host, or belong to a container manager.
bool Skipped(std::string_view name) {
  constexpr std::array<std::string_view, 8> kNames = {"pts",     "shm",  "fd",          "mqueue",
                                                      "console", ".lxc", ".lxd-mounts", ".udev"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

constexpr int kMaxDepth = 8;
constexpr size_t kMaxDevices = 10'000;

// Every device below `folder`, under the same relative path in `target`.
base::Status AddHostDevices(const base::Path& folder, const base::Path& target, int depth,
                            std::vector<oci::Device>& out) {
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
      if (depth < kMaxDepth) RETURN_IF_ERROR(AddHostDevices(path, target / name, depth + 1, out));
      continue;
    }
    if (!S_ISBLK(info.st_mode) && !S_ISCHR(info.st_mode)) continue;
    if (out.size() >= kMaxDevices)
      return Fail(Code::kResourceExhausted, folder.native(), " holds more than ", kMaxDevices, " devices");
    out.push_back({.type = S_ISBLK(info.st_mode) ? "b" : "c",
                   .path = (target / name).native(),
                   .major = major(info.st_rdev),
                   .minor = minor(info.st_rdev),
                   .file_mode = info.st_mode & 07777,
                   .uid = info.st_uid,
                   .gid = info.st_gid});
  }
  return {};
}

// Later requests win over earlier ones and over what privileged containers get anyway: one node for each path.
void AddDevice(oci::Device device, const std::string& access, DevicePlan& plan) {
  plan.rules.push_back(
      {.allow = true, .type = device.type, .major = device.major, .minor = device.minor, .access = access});
  const auto same = std::find_if(plan.devices.begin(), plan.devices.end(),
                                 [&](const oci::Device& other) { return other.path == device.path; });
  if (same != plan.devices.end())
    *same = std::move(device);
  else
    plan.devices.push_back(std::move(device));
}

base::Status AddRequested(const cri::Device& device, kernel::ForeignPaths& paths, const base::Context& context,
                          DevicePlan& plan) {
  if (device.host_path().empty() || device.host_path().front() != '/')
    return Fail(Code::kInvalidArgument, "host_path is not absolute");
  const base::Path container_path =
      base::Path(device.container_path().empty() ? device.host_path() : device.container_path()).lexically_normal();
  if (!container_path.is_absolute()) return Fail(Code::kInvalidArgument, "container_path is not absolute");
  if (container_path == "/") return Fail(Code::kInvalidArgument, "container_path cannot be the root");
  const std::string access = device.permissions().empty() ? "rwm" : device.permissions();
  if (access.find_first_not_of("rwm") != std::string::npos) {
    return Fail(Code::kInvalidArgument, "permissions \"", access, "\" are not of r, w and m");
  }
  ASSIGN_OR_RETURN(const kernel::ForeignPath host, paths.Inspect(device.host_path(), context));
  if (!host.exists) return Fail(Code::kInvalidArgument, "no such device");
  if (host.kind == Kind::kFolder) {
    // Elsewhere the walk could hang on a file system whose server is dead.
    if (!host.resolved.native().starts_with("/dev/"))
      return Fail(Code::kInvalidArgument, "a folder of devices must lie below /dev");
    std::vector<oci::Device> found;
    RETURN_IF_ERROR(AddHostDevices(host.resolved, container_path, 0, found));
    for (oci::Device& one : found) AddDevice(std::move(one), access, plan);
    return {};
  }
  if (host.kind != Kind::kBlockDevice && host.kind != Kind::kCharDevice)
    return Fail(Code::kInvalidArgument, "not a device");
  AddDevice({.type = host.kind == Kind::kBlockDevice ? "b" : "c",
             .path = container_path.native(),
             .major = major(host.rdev),
             .minor = minor(host.rdev),
             .file_mode = host.mode,
             .uid = host.uid,
             .gid = host.gid},
            access, plan);
  return {};
}

}  // namespace

base::Result<DevicePlan> MapDevices(const cri::ContainerConfig& config, kernel::ForeignPaths& paths,
                                    const base::Context& context, const DeviceOptions& options) {
  DevicePlan plan;
  const auto& security = config.linux().security_context();
  const bool all = security.privileged() && !options.without_host_devices;
  if (all) {
    RETURN_IF_ERROR(AddHostDevices("/dev", "/dev", 0, plan.devices));
    plan.rules.push_back({.allow = true, .type = "a", .access = "rwm"});
  } else {
    plan.rules = DefaultRules();
  }
  const auto hosts = static_cast<std::ptrdiff_t>(plan.devices.size());
  // In the order of the request: what is asked for later wins.
  for (const cri::Device& device : config.devices()) {
    DevicePlan requested;
    RETURN_IF_ERROR(AddRequested(device, paths, context, requested), "device ", device.host_path());
    for (size_t i = 0; i < requested.devices.size(); ++i) {
      oci::Device& one = requested.devices[i];
      // It would hide a device of the host that the container is to have too.
      const bool elsewhere =
          !device.container_path().empty() &&
          base::Path(device.container_path()).lexically_normal() != base::Path(device.host_path()).lexically_normal();
      if (elsewhere && std::any_of(plan.devices.begin(), plan.devices.begin() + hosts,
                                   [&](const oci::Device& other) { return other.path == one.path; })) {
        return Fail(Code::kInvalidArgument, "device ", device.host_path(), ": container_path ", one.path,
                    " is a device of the host, which a privileged container has there");
      }
      if (options.owner_from_security_context && security.has_run_as_user())
        one.uid = static_cast<uint32_t>(security.run_as_user().value());
      if (options.owner_from_security_context && security.has_run_as_group())
        one.gid = static_cast<uint32_t>(security.run_as_group().value());
      AddDevice(std::move(one), requested.rules[i].access, plan);
    }
  }
  return plan;
}

}  // namespace berth::container
