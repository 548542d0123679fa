// CDI: finding devices and editing the spec.
#include "container/cdi.h"

#include <sys/sysmacros.h>

#include <algorithm>
#include <set>

#include "base/strings.h"

namespace berth::container {
namespace {

using base::Cat;
using base::Code;
using base::Fail;
using Kind = kernel::ForeignPath::Kind;

struct Found {
  const CdiSpec* spec = nullptr;
  const CdiEdits* device = nullptr;
  size_t folder = 0;
  bool twice = false;  // in one folder: nobody can say which is meant
};

Found Find(const SpecFolders<CdiSpec>::Files& files, const std::string& name) {
  const size_t equals = name.find('=');
  Found out;
  for (const auto& file : files) {
    if (!file->content || file->content->kind != name.substr(0, equals)) continue;
    const auto device = file->content->devices.find(name.substr(equals + 1));
    if (device == file->content->devices.end()) continue;
    const bool twice = out.device != nullptr && out.folder == file->file.folder;
    out = {.spec = &*file->content, .device = &device->second, .folder = file->file.folder, .twice = twice};
  }
  return out;
}

void PutEnvironment(const std::string& entry, std::vector<std::string>& env) {
  const std::string key = entry.substr(0, entry.find('=') + 1);
  const auto same =
      std::find_if(env.begin(), env.end(), [&](const std::string& other) { return other.starts_with(key); });
  if (same != env.end())
    *same = entry;
  else
    env.push_back(entry);
}

base::Status PutNode(const CdiNode& node, oci::Spec& spec, kernel::ForeignPaths& paths, const base::Context& context) {
  oci::Device device{
      .type = node.type == "u" ? "c" : node.type, .path = node.path, .major = node.major, .minor = node.minor};
  device.file_mode = node.file_mode;
  device.uid = node.uid;
  device.gid = node.gid;
  // Numbers that are not given are the host's.
  if (device.type.empty() || (device.type != "p" && device.major == 0 && device.minor == 0)) {
    const std::string& host_path = node.host_path.empty() ? node.path : node.host_path;
    ASSIGN_OR_RETURN(const kernel::ForeignPath host, paths.Inspect(host_path, context));
    if (!host.exists || (host.kind != Kind::kBlockDevice && host.kind != Kind::kCharDevice))
      return Fail(Code::kInvalidArgument, host_path, " is no device of this host");
    const std::string type = host.kind == Kind::kBlockDevice ? "b" : "c";
    if (!device.type.empty() && device.type != type)
      return Fail(Code::kInvalidArgument, host_path, " is not a device of type ", node.type);
    device.type = type;
    device.major = major(host.rdev);
    device.minor = minor(host.rdev);
    if (!device.file_mode) device.file_mode = host.mode;
  }
  // As the vendors' own library does: a container that is not root's can use what it is given.
  if (!device.uid && spec.process.uid > 0) device.uid = spec.process.uid;
  if (!device.gid && spec.process.gid > 0) device.gid = spec.process.gid;
  PutDevice(std::move(device), node.permissions.empty() ? "rwm" : node.permissions, spec);
  return {};
}

base::Status ApplyEdits(const CdiEdits& edits, oci::Spec& spec, kernel::ForeignPaths& paths,
                        const base::Context& context) {
  if (!edits.unknown.empty())
    return Fail(Code::kUnimplemented, base::Join(edits.unknown, ", "),
                " of a CDI device is not supported by this version");
  for (const std::string& entry : edits.env) PutEnvironment(entry, spec.process.env);
  for (const CdiNode& node : edits.nodes) RETURN_IF_ERROR(PutNode(node, spec, paths, context));
  for (const oci::Mount& mount : edits.mounts) {
    std::erase_if(spec.mounts, [&](const oci::Mount& other) { return other.destination == mount.destination; });
    spec.mounts.push_back(mount);
  }
  for (const auto& [stage, hook] : edits.hooks) oci::StageOf(spec.hooks, stage)->push_back(hook);
  for (const uint32_t gid : edits.additional_gids) {
    auto& groups = spec.process.additional_gids;
    if (gid != 0 && std::find(groups.begin(), groups.end(), gid) == groups.end()) groups.push_back(gid);
  }
  return {};
}

}  // namespace

CdiDevices::CdiDevices(std::vector<base::Path> folders)
    : files_(std::move(folders), {".json", ".yaml"}, ParseCdiSpec) {}

base::Status CdiDevices::Apply(const std::vector<std::string>& names, oci::Spec& spec, kernel::ForeignPaths& paths,
                               const base::Context& context) const {
  if (names.empty()) return {};
  ASSIGN_OR_RETURN(const auto files, files_.Read(), "CDI");
  std::vector<Found> found;
  std::vector<std::string> unresolved;
  for (const std::string& name : names) {
    found.push_back(Find(files, name));
    if (found.back().device == nullptr)
      unresolved.push_back(name);
    else if (found.back().twice)
      unresolved.push_back(name + " (twice in one folder)");
  }
  if (!unresolved.empty()) {
    std::string text = Cat("CDI_devices: unresolved: ", base::Join(unresolved, ", "));
    for (const auto& file : files) {
      // One of them may have what was looked for.
      if (!file->content) text += Cat("; unusable: ", file->content.error().message);
    }
    return Fail(Code::kInvalidArgument, text.substr(0, 4096));
  }
  std::set<const CdiSpec*> done;
  for (size_t i = 0; i < names.size(); ++i) {
    if (done.insert(found[i].spec).second)
      RETURN_IF_ERROR(ApplyEdits(found[i].spec->edits, spec, paths, context), "CDI_devices: ", names[i]);
    RETURN_IF_ERROR(ApplyEdits(*found[i].device, spec, paths, context), "CDI_devices: ", names[i]);
  }
  // What was added must not hide what lies below it.
  const auto depth = [](const oci::Mount& mount) {
    return std::count(mount.destination.begin(), mount.destination.end(), '/');
  };
  std::stable_sort(spec.mounts.begin(), spec.mounts.end(),
                   [&](const auto& a, const auto& b) { return depth(a) < depth(b); });
  return {};
}

void PutDevice(oci::Device device, const std::string& access, oci::Spec& spec) {
  if (device.type == "b" || device.type == "c") {
    spec.resources.devices.push_back(
        {.allow = true, .type = device.type, .major = device.major, .minor = device.minor, .access = access});
  }
  const auto same = std::find_if(spec.devices.begin(), spec.devices.end(),
                                 [&](const oci::Device& other) { return other.path == device.path; });
  if (same != spec.devices.end())
    *same = std::move(device);
  else
    spec.devices.push_back(std::move(device));
}

}  // namespace berth::container
