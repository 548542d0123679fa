// Units of systemd's that hold our processes, made and ended over D-Bus.
//
// With the systemd cgroup driver cgroups belong to systemd: a process gets into one of its own by being named when a
// scope is started, and a scope or slice ends by being stopped. Nothing below /sys/fs/cgroup is made by hand then.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>

#include "base/context.h"
#include "base/result.h"

namespace berth::kernel {

struct ScopeRequest {
  std::string name;   // "berth-monitor-<id>.scope"
  std::string slice;  // "kubepods-pod1.slice"; systemd makes it when it is missing
  std::string description;
  pid_t pid = 0;  // the process to be moved in; its children stay where they are
};

// Thread-safe: each call makes a connection of its own, which costs less than a millisecond. Every call blocks until
// systemd has carried out the job, or the context ends: kDeadlineExceeded or kCancelled, and the job may still be
// carried out.
class Systemd {
 public:
  // A D-Bus address; empty: the system bus.
  explicit Systemd(std::string address = {}) : address_(std::move(address)) {}
  virtual ~Systemd() = default;

  // kAlreadyExists when there is such a unit. A scope whose last process ends is gone without being stopped, failed or
  // not.
  virtual base::Status StartScope(const ScopeRequest& request, const base::Context& context) const;
  // An existing slice is success.
  virtual base::Status StartSlice(const std::string& name, const base::Context& context) const;
  // What still runs in it gets SIGTERM first, and time. Unknown is success.
  virtual base::Status StopUnit(const std::string& name, const base::Context& context) const;
  // Limits of a unit that runs, by their names on D-Bus; UINT64_MAX: none (systemd.resource-control(5),
  // org.freedesktop.systemd1(5)).
  virtual base::Status SetLimits(const std::string& name, const std::map<std::string, uint64_t>& limits,
                                 const base::Context& context) const;

 private:
  std::string address_;
};

}  // namespace berth::kernel
