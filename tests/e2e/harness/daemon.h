// berthd under test: its configuration, its process, and how it is ended.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/child.h"
#include "base/file.h"
#include "base/result.h"

namespace berth::e2e {

class Daemon {
 public:
  struct Options {
    base::Path folder;       // of this test; everything but the run root lies below it
    base::Path state_root;   // on a disk
    base::Path run_root;     // on a tmpfs
    bool systemd = false;    // cgroup driver
    bool masquerade = true;  // of the bridge plugin; see NetworkFaultNamespaceLost in network_fault_test.cc
    std::map<std::string, std::string> settings;  // more of the configuration: {"network.plugin_timeout", "2s"}
  };
  explicit Daemon(Options options);
  ~Daemon();  // kills it if it runs; containers and monitors live on

  // Writes the configuration and the default network list. Start does not touch either.
  base::Status WriteFiles() const;
  // Starts it and waits for its READY=1. An error carries the end of its log. Blocks for at most 30 s.
  base::Status Start();
  base::Status Stop();  // SIGTERM, then its end: an error when it takes more than 20 s or ends with another code than 0
  base::Status Kill();  // SIGKILL, and reaped
  bool running() const { return child_.has_value(); }
  int pid() const { return child_ ? child_->pid() : -1; }

  const Options& options() const { return options_; }
  base::Path config_file() const { return options_.folder / "berth.yaml"; }
  base::Path socket() const { return options_.run_root / "berth.sock"; }
  base::Path net_folder() const { return options_.folder / "net.d"; }
  base::Path plugin_folder() const { return options_.folder / "plugins"; }     // comes before /usr/lib/cni
  base::Path address_folder() const { return options_.folder / "addresses"; }  // of host-local
  base::Path log_file() const { return options_.folder / "berthd.log"; }
  std::string Log(size_t last_bytes = 4000) const;

  // The pod network list: bridge, host-local and portmap; `first` is put before them, as text of JSON objects.
  std::string NetworkList(const std::string& first = {}) const;
  // An OCI runtime handler that tests can break: a shell script. `script` gets the real one's path as $REAL.
  base::Status WriteRuntime(const std::string& name, const std::string& script) const;
  base::Path runtime_script(const std::string& name) const { return options_.folder / ("runtime-" + name); }

 private:
  Options options_;
  std::optional<base::Child> child_;
};

}  // namespace berth::e2e
