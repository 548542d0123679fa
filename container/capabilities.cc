#include "container/capabilities.h"

#include "base/strings.h"
#include "cri-proto/api.pb.h"
#include "kernel/limits.h"

namespace berth::container {
namespace {

// What a list of names asks for. Names that no kernel knows are errors to add and nothing to drop.
struct Change {
  bool all = false;
  uint64_t named = 0;
};

template <typename Names>
base::Result<Change> Read(const Names& names, bool strict) {
  Change out;
  for (const std::string& name : names) {
    if (base::Lower(name) == "all") {
      out.all = true;
    } else if (const auto number = kernel::CapabilityNumber(name)) {
      out.named |= uint64_t{1} << *number;
    } else if (strict) {
      return base::Fail(base::Code::kInvalidArgument, "unknown capability \"", name, "\"");
    }
  }
  return out;
}

std::vector<std::string> Names(uint64_t set) {
  std::vector<std::string> out;
  const auto known = kernel::CapabilityNames();
  for (size_t number = 0; number < known.size(); ++number) {
    if ((set >> number & 1) != 0) out.emplace_back(known[number]);
  }
  return out;
}

}  // namespace

base::Result<oci::Capabilities> MapCapabilities(const cri::LinuxContainerSecurityContext& security,
                                                std::span<const std::string> defaults, uint64_t available) {
  const cri::Capability& wanted = security.capabilities();
  ASSIGN_OR_RETURN(const Change initial, Read(defaults, true), "default capabilities");
  ASSIGN_OR_RETURN(const Change add, Read(wanted.add_capabilities(), true), "capabilities to add");
  ASSIGN_OR_RETURN(const Change ambient, Read(wanted.add_ambient_capabilities(), true), "ambient capabilities to add");
  ASSIGN_OR_RETURN(const Change drop, Read(wanted.drop_capabilities(), false));

  const uint64_t missing = (add.named | ambient.named) & ~available;
  if (missing != 0 && !security.privileged()) {
    return base::Fail(base::Code::kInvalidArgument, "capability ", Names(missing).front(),
                      " cannot be granted: the daemon itself has not got it");
  }
  uint64_t granted = add.all || initial.all ? available : initial.named & available;
  // Everything or nothing first, then what is listed: drop ALL + add X is {X}, add ALL + drop X is all but X.
  if (drop.all) granted = 0;
  granted = (granted | add.named | ambient.named) & ~drop.named;
  if (security.privileged()) granted = available;  // whatever is listed

  oci::Capabilities out;
  out.bounding = out.effective = out.permitted = Names(granted);
  // Inheritable and ambient stay empty (CVE-2022-24769) but for what is asked for by name.
  out.inheritable = out.ambient = Names(granted & ambient.named);
  return out;
}

}  // namespace berth::container
