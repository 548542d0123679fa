// A pod sandbox as everybody reads it: an immutable value. What changes it makes a new one (state::Store::Update).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "container/container.h"
#include "cri-proto/cri.h"

namespace berth::sandbox {

//   run ──> kReady ──stop, infra process died, reboot──> kNotReady ──remove──> (gone)
// A sandbox that is not ready never becomes ready again; the kubelet makes a new one with the next attempt.
enum class State { kReady, kNotReady };

constexpr std::string_view StateName(State state) {
  return state == State::kReady ? "ready" : "not_ready";
}
constexpr bool CanChange(State from, State to) {
  return from == State::kReady && to == State::kNotReady;
}

struct Sandbox {
  std::string id;
  std::shared_ptr<const cri::PodSandboxConfig>
      config;                   // as the caller sent it; linux.overhead and .resources as last updated
  std::string request_digest;   // of the whole request: a retry is recognised by it
  std::string runtime_handler;  // as requested; "" is the default
  std::string runtime;          // what that means here, never empty
  std::string cgroup_parent;    // effective
  std::string hostname;
  base::Path net_namespace;  // empty: the host's
  base::Path ipc_namespace;
  base::Path uts_namespace;
  std::string selinux_label;  // of its processes; empty without SELinux, and where the host's pids or ipc are seen
  base::Path user_namespace;
  base::Path pid_namespace;  // set only where the pod shares one; held by `pause`
  container::ProcessRef pause;
  std::string boot_id;  // of the boot that namespaces and pause belong to

  int64_t created_at = 0;  // Unix nanoseconds
  bool creating = false;   // RunPodSandbox has not succeeded yet: not to be shown. Not recorded: a ledger that is not
                           // owned says the same after a restart
  State state = State::kReady;
  std::vector<std::string> ips;  // primary first; empty for host network and once stopped
  std::string cni_result;        // the last plugin's JSON
};

std::string Encode(const Sandbox& sandbox);
base::Result<Sandbox> Decode(std::string_view text);

}  // namespace berth::sandbox
