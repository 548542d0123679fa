// The profile of containers that ask for RuntimeDefault or, on a host with AppArmor, for nothing.
#pragma once

#include <atomic>
#include <string>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"

namespace berth::container {

inline constexpr const char* kApparmorDefault = "berth-default";

// As apparmor_parser takes it.
std::string ApparmorDefaultText();

// Thread-safe.
class ApparmorDefault {
 public:
  // `parser`: apparmor_parser; empty where it is not installed.
  explicit ApparmorDefault(base::Path parser) : parser_(std::move(parser)) {}

  bool can_load() const { return !parser_.empty(); }
  // Gives the profile to the kernel, in place of what an older Berth gave it: at the first call, and at each until one
  // succeeds. Blocks for a child.
  base::Status Load(const base::Context& context);

 private:
  const base::Path parser_;
  std::atomic<bool> loaded_ = false;
};

// Whether this host's kernel confines with AppArmor. `sys` is where sysfs is mounted.
bool HasApparmor(const base::Path& sys = "/sys");

}  // namespace berth::container
