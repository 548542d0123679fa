// The least that the same work can cost: the plugins and the OCI runtime run by themselves, on the same spec.
#pragma once

#include <string>

#include "base/file.h"
#include "base/result.h"

namespace berth::bench {

// Runs the plugins of a network list (its JSON text) one after the other, each given the result of the one before, as
// CNI lays down. DEL goes backwards.
base::Status CniAdd(const std::string& list, const std::string& id, const base::Path& netns);
base::Status CniDel(const std::string& list, const std::string& id, const base::Path& netns);

// A network namespace pinned at `path`, made by ip(8).
base::Status AddNetns(const std::string& name);
base::Status DeleteNetns(const std::string& name);

// The bare OCI runtime on a bundle of its own that differs from `like` (a running container's) in its cgroup alone. The
// root file system and the namespaces are the other's.
class BareContainer {
 public:
  BareContainer(base::Path runtime, base::Path folder) : runtime_(std::move(runtime)), folder_(std::move(folder)) {}
  base::Status Prepare(const base::Path& like, const std::string& id);
  base::Status Create();
  base::Status Start();
  base::Status Delete();  // killed, and deleted once it has ended

 private:
  base::Status Run(std::vector<std::string> arguments);

  base::Path runtime_;
  base::Path folder_;
  std::string id_;
};

// `program arguments...` to its end; an error for another code than 0. Output goes to /dev/null.
base::Status RunQuietly(const base::Path& program, std::vector<std::string> arguments);

}  // namespace berth::bench
