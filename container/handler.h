// A runtime handler's own options.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace berth::container {

struct Handler {
  bool privileged_without_host_devices = false;    // privileged containers get the devices they name and no others
  bool systemd_containers = false;                 // one whose first program is systemd gets what that needs
  std::map<std::string, std::string> annotations;  // into every config.json
  std::vector<std::string>
      allowed_annotations;  // of pods and containers, into config.json; "*" at the end: all that begin so

  bool Allows(std::string_view annotation) const {
    for (const std::string& allowed : allowed_annotations) {
      const bool prefix = allowed.ends_with('*');
      if (prefix ? annotation.starts_with(std::string_view(allowed).substr(0, allowed.size() - 1))
                 : annotation == allowed)
        return true;
    }
    return false;
  }
};

}  // namespace berth::container
