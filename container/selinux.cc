#include "container/selinux.h"

#include <re2/re2.h>
#include <sys/random.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/strings.h"
#include "cri-proto/api.pb.h"

namespace berth::container {
namespace {

using base::Code;
using base::Fail;

constexpr uint32_t kCategories = 1024;
constexpr int kTries = 1000;

std::string_view Part(std::string_view label, int colons_before) {
  for (; colons_before > 0; --colons_before) {
    const size_t colon = label.find(':');
    if (colon == std::string_view::npos) return {};
    label.remove_prefix(colon + 1);
  }
  return label;
}

uint32_t RandomCategory() {
  uint32_t out = 0;
  // A random number that is not: the level is not free, and another is tried.
  if (getrandom(&out, sizeof out, 0) != sizeof out) return 0;
  return out % kCategories;
}

// As the established runtimes have it.
bool IsOfTheSystem(const base::Path& path) {
  static constexpr std::array<std::string_view, 29> kFolders = {
      "/",    "/bin",   "/boot",  "/dev",     "/etc",     "/etc/passwd", "/etc/pki", "/etc/shadow", "/etc/ssl", "/home",
      "/lib", "/lib64", "/media", "/mnt",     "/opt",     "/proc",       "/root",    "/run",        "/sbin",    "/srv",
      "/sys", "/tmp",   "/usr",   "/usr/bin", "/usr/lib", "/var",        "/var/lib", "/var/log",    "/var/tmp"};
  return std::find(kFolders.begin(), kFolders.end(), path.native()) != kFolders.end();
}

}  // namespace

base::Status CheckSelinux(const cri::SELinuxOption& options) {
  static const re2::RE2 name("[A-Za-z0-9_.-]{0,128}");
  static const re2::RE2 level("s[0-9]{1,2}(-s[0-9]{1,2})?(:c[0-9]{1,4}([.,]c[0-9]{1,4})*)?");
  const std::pair<const char*, const std::string&> parts[] = {
      {"user", options.user()}, {"role", options.role()}, {"type", options.type()}};
  for (const auto& [what, value] : parts) {
    if (!re2::RE2::FullMatch(value, name))
      return Fail(Code::kInvalidArgument, "selinux_options.", what, " \"", value, "\" is none");
  }
  if (!options.level().empty() && !re2::RE2::FullMatch(options.level(), level)) {
    return Fail(Code::kInvalidArgument, "selinux_options.level \"", options.level(), "\" is none");
  }
  return {};
}

std::string ChooseLevel(const std::set<std::string>& taken) {
  std::string out;
  for (int i = 0; i < kTries; ++i) {
    uint32_t low = RandomCategory();
    uint32_t high = RandomCategory();
    if (low == high) continue;
    if (low > high) std::swap(low, high);
    out = base::Cat("s0:c", low, ",c", high);
    if (!taken.contains(out)) break;
  }
  return out;
}

std::string ProcessLabel(const cri::SELinuxOption& options, std::string_view level) {
  const auto either = [](const std::string& wanted, std::string_view usual) {
    return wanted.empty() ? std::string(usual) : wanted;
  };
  return base::Cat(either(options.user(), "system_u"), ":", either(options.role(), "system_r"), ":",
                   either(options.type(), "container_t"), ":", either(options.level(), level));
}

std::string FileLabel(std::string_view process_label) {
  if (process_label.empty()) return {};
  return base::Cat("system_u:object_r:container_file_t:", LevelOf(process_label));
}

std::string_view LevelOf(std::string_view label) {
  return Part(label, 3);
}

Labels LabelsOf(const cri::LinuxContainerSecurityContext& security, const std::string& pod_label) {
  const std::string label = security.has_selinux_options() ? ProcessLabel(security.selinux_options(),
                                                                          pod_label.empty() ? "s0" : LevelOf(pod_label))
                                                           : pod_label;
  return {.process = security.privileged() ? std::string() : label, .files = FileLabel(label)};
}

base::Status SetLabel(const base::Path& path, const std::string& label) {
  if (label.empty() || lsetxattr(path.c_str(), "security.selinux", label.c_str(), label.size() + 1, 0) == 0 ||
      errno == ENOTSUP)
    return {};
  return base::FailErrno(errno, "label ", path.native(), " ", label);
}

base::Status RelabelVolumes(const cri::ContainerConfig& config, const std::string& label, kernel::ForeignPaths& paths,
                            const base::Context& context) {
  const std::string& type = config.linux().security_context().selinux_options().type();
  if (label.empty() || type == "spc_t") return {};
  for (const cri::Mount& mount : config.mounts()) {
    if (!mount.selinux_relabel() || !mount.host_path().starts_with('/')) continue;
    const std::string what = base::Cat("mount ", mount.container_path());
    ASSIGN_OR_RETURN(const kernel::ForeignPath source, paths.EnsureFolder(mount.host_path(), 0755, context), what);
    if (IsOfTheSystem(source.resolved)) {
      return Fail(Code::kInvalidArgument, what, ": selinux_relabel: ", source.resolved.native(),
                  " is a folder of the system");
    }
    RETURN_IF_ERROR(paths.Relabel(source.resolved, label, context), what);
  }
  return {};
}

}  // namespace berth::container
