// The Container Device Interface: devices by names as vendor.com/class=name, which a vendor's files say how to give to
// a container.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "container/spec_folders.h"
#include "cri-proto/cri.h"
#include "kernel/foreign_path.h"
#include "oci/spec.h"

namespace berth::container {

struct CdiNode {
  std::string path;       // in the container
  std::string host_path;  // empty: the same
  std::string type;       // "c", "u", "b", "p"; empty: as the host's, like its numbers
  int64_t major = 0;
  int64_t minor = 0;
  std::optional<uint32_t> file_mode, uid, gid;
  std::string permissions;  // empty: rwm
};

struct CdiEdits {
  std::vector<std::string> env;
  std::vector<CdiNode> nodes;
  std::vector<oci::Mount> mounts;
  std::vector<std::pair<std::string, oci::Hook>> hooks;  // by stage, "createContainer"
  std::vector<uint32_t> additional_gids;
  std::vector<std::string> unknown;  // members that this version cannot apply: an error for who asks for the device
};

struct CdiSpec {
  std::string kind;  // vendor/class
  CdiEdits edits;    // for whoever gets any of the devices
  std::map<std::string, CdiEdits> devices;
};

// Versions 0.3.0 to 1.0.x. kInvalidArgument says what is wrong where.
base::Result<CdiSpec> ParseCdiSpec(std::string_view text, const std::string& path);

// What the request names: CDI_devices, then annotations cdi.k8s.io/*, each once. kInvalidArgument for what is no such
// name.
base::Result<std::vector<std::string>> CdiNames(const cri::ContainerConfig& config);

// Thread-safe.
class CdiDevices {
 public:
  explicit CdiDevices(std::vector<base::Path> folders);

  // Edits the spec, the last thing before it is written: what belongs to a whole file once, then what belongs to each
  // device. kInvalidArgument with all the names that nobody has, or that two files of one folder have. Reads the
  // folders.
  base::Status Apply(const std::vector<std::string>& names, oci::Spec& spec, kernel::ForeignPaths& paths,
                     const base::Context& context) const;

 private:
  SpecFolders<CdiSpec> files_;
};

// Adds a device: one node for each path, and the right to use it.
void PutDevice(oci::Device device, const std::string& access, oci::Spec& spec);

}  // namespace berth::container
