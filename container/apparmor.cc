#include "container/apparmor.h"

#include <algorithm>
#include <string_view>

#include "base/strings.h"
#include "container/apparmor_default.h"
#include "cri-proto/api.pb.h"

namespace berth::container {
namespace {

using base::Code;
using base::Fail;
using Type = cri::SecurityProfile;

constexpr std::string_view kLocalhost = "localhost/";
constexpr size_t kMaxProfiles = 16 << 20;  // of the list of loaded profiles

struct Wanted {
  Type::ProfileType type = Type::Unconfined;
  std::string name{};
  bool asked = true;  // false: the request says nothing
};

base::Result<Wanted> Choose(const cri::LinuxContainerSecurityContext& security) {
  const auto local = [](std::string_view name) -> base::Result<Wanted> {
    if (name.starts_with(kLocalhost)) name.remove_prefix(kLocalhost.size());
    if (name.empty()) return Fail(Code::kInvalidArgument, "apparmor: the profile's name is missing");
    return Wanted{.type = Type::Localhost, .name = std::string(name)};
  };
  if (security.has_apparmor()) {
    const cri::SecurityProfile& profile = security.apparmor();
    if (profile.profile_type() == Type::Localhost) return local(profile.localhost_ref());
    if (!profile.localhost_ref().empty())
      return Fail(Code::kInvalidArgument, "apparmor.localhost_ref is for profile type Localhost alone");
    if (profile.profile_type() != Type::RuntimeDefault && profile.profile_type() != Type::Unconfined) {
      return Fail(Code::kInvalidArgument, "apparmor.profile_type ", static_cast<int>(profile.profile_type()),
                  " is unknown");
    }
    return Wanted{.type = profile.profile_type()};
  }
  const std::string& old = security.apparmor_profile();
  if (old.empty()) return Wanted{.type = Type::RuntimeDefault, .asked = false};
  if (old == "unconfined") return Wanted{};
  if (old == "runtime/default") return Wanted{.type = Type::RuntimeDefault};
  if (old.starts_with(kLocalhost)) return local(old);
  return Fail(Code::kInvalidArgument, "apparmor_profile \"", old, "\" is unknown");
}

bool IsLoaded(std::string_view profiles, std::string_view name) {
  const auto lines = base::Split(profiles, '\n');  // "name (enforce)"
  return std::any_of(lines.begin(), lines.end(),
                     [&](std::string_view line) { return line.substr(0, line.rfind(" (")) == name; });
}

}  // namespace

base::Result<std::string> MapApparmor(const cri::LinuxContainerSecurityContext& security, bool default_loads,
                                      const base::Path& sys) {
  ASSIGN_OR_RETURN(const Wanted wanted, Choose(security));
  if (wanted.type == Type::Unconfined) return std::string();
  const bool here = HasApparmor(sys);
  if (wanted.type == Type::RuntimeDefault) {
    if (!here || security.privileged()) return std::string();
    if (default_loads) return std::string(kApparmorDefault);
    if (!wanted.asked) return std::string();
    return Fail(Code::kFailedPrecondition, "apparmor: apparmor_parser is not installed, so profile ", kApparmorDefault,
                " cannot be loaded");
  }
  if (!here)
    return Fail(Code::kInvalidArgument, "apparmor: this host has no AppArmor, so profile \"", wanted.name,
                "\" cannot be applied");
  ASSIGN_OR_RETURN(const std::string profiles, base::ReadFile(sys / "kernel/security/apparmor/profiles", kMaxProfiles),
                   "apparmor");
  if (!IsLoaded(profiles, wanted.name))
    return Fail(Code::kInvalidArgument, "apparmor: profile \"", wanted.name, "\" is not loaded");
  return wanted.name;
}

}  // namespace berth::container
