// Where end-to-end tests run: namespaces of their own, so that bridges, firewall rules, mounts, cgroups and processes
// of a test never touch the machine's, and so that what a test leaves behind can be listed exactly.
#pragma once

#include <string>

#include "base/result.h"

namespace berth::e2e {

// Reason why end-to-end tests cannot run here ("needs root", "docker-registry is not installed"), or empty.
std::string WhyNotHere();

struct Isolation {
  // The machine's pid 1 is systemd: its cgroup tree is shared with it, as a node's is. Not with
  // BERTH_E2E_DRIVER=cgroupfs in the environment: that wants a cgroup of its own (v2: systemd-run -p Delegate=yes).
  bool systemd = false;
};

// Leaves the caller in a child process inside new mount, network and (where systemd is not pid 1) pid and cgroup
// namespaces; the returned value is the child's. The calling process never returns: it waits and exits with the child's
// code. In between sits a process that adopts and reaps orphans at once, as pid 1 of a node does, and with which
// everything started here ends. Must be called before any thread exists.
//   - / is shared recursively (mount propagation), /run/netns and /run/berth-e2e are tmpfs
//   - the empty v2 hierarchy of a hybrid cgroup host is hidden: crun refuses such a host otherwise
//   - lo is up; there is no other link
base::Result<Isolation> Isolate();

// pid of the process that adopts orphans, as seen from the tests.
int AdopterPid();

}  // namespace berth::e2e
