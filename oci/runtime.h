// The place where our process ends and the OCI runtime (crun, runc) begins.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/child.h"
#include "base/context.h"
#include "base/file.h"
#include "base/guarded.h"
#include "base/result.h"

namespace berth::oci {

enum class Phase { kCreating, kCreated, kRunning, kPaused, kStopped };

struct State {
  Phase phase = Phase::kStopped;
  pid_t pid = 0;  // 0 when stopped
  base::Path bundle;
};

// What a runtime can do. Found out once; until then every function that needs it waits for the runtime to tell.
struct Features {
  std::string version;                // "crun 1.8.1", for people
  std::string oci_version = "1.0.2";  // to be written into config.json: the newest that both of us know
  bool recursive_read_only =
      false;  // mount option "rro"; ParseFeatures: of the runtime alone, else of the kernel too (5.12)
  bool idmapped_mounts = false;  // uidMappings and gidMappings of a mount are obeyed, not ignored
  bool exec_cgroup = false;      // `exec --cgroup`
  // An exec that is waited for passes output on itself, and so ends only when whoever inherited it has closed it
  // (runc).
  bool exec_waits_for_output = false;
  bool checkpoints = false;  // built with support for CRIU; whether that is installed is another question
};

struct CreateOptions {
  std::string id;
  base::Path bundle;           // folder that holds config.json
  base::Path pid_file;         // the runtime writes the first process's pid there
  base::Path log_file;         // JSON lines; read it with ErrorText when create fails
  std::string console_socket;  // path, or a placeholder that the monitor replaces; empty without a terminal
  base::Path checkpoint{};     // images of a checkpoint: the container is not made but restored from them, and runs
  base::Path work{};           // for the logs of that
};

struct CheckpointOptions {
  std::string id;
  base::Path images;  // both exist and are empty
  base::Path work;    // CRIU's log and figures
};

struct ExecOptions {
  std::string id;
  base::Path process;  // file holding ToJson(Process)
  base::Path scratch;  // folder for a file of the exec's own, on tmpfs, removed with the container
  base::Path
      log_file;  // empty: none. Where the runtime's own errors go (ErrorText), so that they are not taken for output
  std::string cgroup;          // sub-cgroup of the container, relative; only with Features::exec_cgroup
  std::string console_socket;  // with a terminal: where the runtime sends its descriptor
  // Borrowed; -1: /dev/null. They become the process's own.
  int standard_input = -1;
  int standard_output = -1;
  int standard_error = -1;
};

// Thread-safe. Functions with a context block until the runtime's command has ended; when the context ends first, the
// command is killed and the context's error returned. Errors have the form "runtime crun: start <id>: <its message>".
class Runtime {
 public:
  virtual ~Runtime() = default;

  virtual const std::string& name() const = 0;

  // The whole command that makes the container and returns, for the monitor to run. The first is an absolute path.
  virtual std::vector<std::string> CreateArguments(const CreateOptions& options) const = 0;
  // The environment that a command of this runtime is run with, KEY=VALUE; with BERTH_REQUEST_ID for the context's id,
  // if it has one.
  virtual std::vector<std::string> Environment(const base::Context& context) const = 0;

  // kNotFound for a container that the runtime does not know.
  virtual base::Status Start(const std::string& id, const base::Context& context) = 0;

  // A container that does not exist or has stopped is success: there is nothing left to signal. `all`: to every process
  // of the container, not to its first alone.
  virtual base::Status Kill(const std::string& id, int signal, bool all, const base::Context& context) = 0;

  // Removes what the runtime keeps of it; a container that does not exist is success. `force` kills it first when it
  // still runs; without it that is kFailedPrecondition.
  virtual base::Status Delete(const std::string& id, bool force, const base::Context& context) = 0;

  virtual base::Result<State> GetState(const std::string& id, const base::Context& context) = 0;  // kNotFound

  // Starts the runtime's exec and does not wait for it (but, the first time, for the runtime to tell what it can do).
  // It ends with the exit code of the process; or, when there was none, with 255 or 1 and a message in log_file and on
  // stderr. Processes of the runtime can be left behind in the container's pid namespace and then belong to whoever
  // reaps orphans; until they are reaped that namespace, and so the container, does not end. A caller that is a
  // subreaper must therefore reap what it did not start.
  virtual base::Result<base::Child> Exec(const ExecOptions& options, const base::Context& context) = 0;

  // `resources`: ToJson(Resources).
  virtual base::Status Update(const std::string& id, std::string_view resources, const base::Context& context) = 0;

  virtual base::Result<Features> GetFeatures(const base::Context& context) = 0;
  // Writes the state of a running container's processes; they run on. A failure leaves dump.log in the work folder.
  virtual base::Status Checkpoint(const CheckpointOptions& options, const base::Context& context) = 0;
  // Where a restore that is cut short leaves a mount of the container's root: it goes before Delete.
  virtual base::Path RestoreMount(const std::string& id) const = 0;

  // What an earlier call found out; null without one. Never waits.
  virtual std::shared_ptr<const Features> KnownFeatures() const = 0;
};

class RuntimeBinary : public Runtime {
 public:
  struct Options {
    std::string name;             // of the handler, for messages: "crun"
    base::Path path;              // of the binary, absolute
    base::Path root;              // where the runtime keeps its state, on tmpfs; it makes the folder itself
    base::Path helper;            // berth-helper
    bool systemd_cgroup = false;  // cgroups are made by systemd and cgroupsPath is "slice:prefix:name"
  };
  explicit RuntimeBinary(Options options);

  const std::string& name() const override { return options_.name; }
  std::vector<std::string> CreateArguments(const CreateOptions& options) const override;
  std::vector<std::string> Environment(const base::Context& context) const override;
  base::Status Start(const std::string& id, const base::Context& context) override;
  base::Status Kill(const std::string& id, int signal, bool all, const base::Context& context) override;
  base::Status Delete(const std::string& id, bool force, const base::Context& context) override;
  base::Result<State> GetState(const std::string& id, const base::Context& context) override;
  base::Result<base::Child> Exec(const ExecOptions& options, const base::Context& context) override;
  base::Status Update(const std::string& id, std::string_view resources, const base::Context& context) override;
  base::Result<Features> GetFeatures(const base::Context& context) override;
  base::Status Checkpoint(const CheckpointOptions& options, const base::Context& context) override;
  base::Path RestoreMount(const std::string& id) const override { return options_.root / id / "criu-root"; }
  std::shared_ptr<const Features> KnownFeatures() const override { return *features_.Lock(); }

 private:
  std::vector<std::string> Command(std::vector<std::string> rest, const base::Path& log_file = {}) const;
  base::Result<std::string> RunCommand(std::vector<std::string> rest, std::string input,
                                       const base::Context& context) const;
  bool Knows(const std::string& id) const;
  base::Error Explain(base::Error error, std::string_view verb, const std::string& id) const;

  const Options options_;
  mutable base::Guarded<std::shared_ptr<const Features>> features_;
};

// A runtime's message out of what it wrote to its log or to stderr: JSON lines ({"level":"error","msg":"..."}), logrus
// text (level=error msg="...") or plain text. The last error counts; without one, the last line. Empty for an empty
// text.
std::string ErrorText(std::string_view log);

// Readers of what runtimes print; `what` names the source in errors.
base::Result<State> ParseState(std::string_view text, std::string_view what);
// `version`: what --version prints. `features`: what `features` prints, empty when the runtime has no such command.
base::Result<Features> ParseFeatures(std::string_view version, std::string_view features, std::string_view what);

}  // namespace berth::oci
