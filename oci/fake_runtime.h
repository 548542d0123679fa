// The runtime for tests: keeps its containers in a folder, runs their processes as plain children of whoever runs the
// create command, and fails when it is told to. It makes no namespaces, mounts or cgroups and needs no privileges.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "oci/runtime.h"

namespace berth::oci {

class FakeRuntime : public Runtime {
 public:
  // `folder` must exist and outlives this. `command`: what a container's process is, run by /bin/sh once it is started.
  explicit FakeRuntime(base::Path folder, std::string command = "exec sleep 1000");

  // The next calls of `verb` ("create", "start", "kill", "delete", "state", "exec", "update", "features", "checkpoint")
  // fail with this; without an error they work again.
  void Fail(const std::string& verb, std::optional<base::Error> error);
  // "start 4711…", "kill 4711… 15" and so on, in order.
  std::vector<std::string> Calls() const;
  void SetFeatures(Features features);

  const std::string& name() const override { return name_; }
  std::vector<std::string> CreateArguments(const CreateOptions& options) const override;
  std::vector<std::string> Environment(const base::Context& context) const override;
  base::Status Start(const std::string& id, const base::Context& context) override;
  base::Status Kill(const std::string& id, int signal, bool all, const base::Context& context) override;
  base::Status Delete(const std::string& id, bool force, const base::Context& context) override;
  base::Result<State> GetState(const std::string& id, const base::Context& context) override;
  // Runs the "args" of the process file.
  base::Result<base::Child> Exec(const ExecOptions& options, const base::Context& context) override;
  base::Status Update(const std::string& id, std::string_view resources, const base::Context& context) override;
  base::Result<Features> GetFeatures(const base::Context& context) override;
  // Writes files of the names that CRIU gives them.
  base::Status Checkpoint(const CheckpointOptions& options, const base::Context& context) override;
  base::Path RestoreMount(const std::string& id) const override { return folder_ / (id + ".root"); }
  std::shared_ptr<const Features> KnownFeatures() const override;

 private:
  struct Shared {
    std::map<std::string, base::Error> failures;
    std::vector<std::string> calls;
    Features features{.version = "fake 1.0.0",
                      .recursive_read_only = true,
                      .idmapped_mounts = true,
                      .exec_cgroup = true,
                      .checkpoints = true};
  };
  base::Status Record(const std::string& verb, const std::string& rest) const;

  const std::string name_ = "fake";
  const base::Path folder_;
  const std::string command_;
  mutable base::Guarded<Shared> shared_;
};

}  // namespace berth::oci
