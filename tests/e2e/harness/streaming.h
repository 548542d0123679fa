// What tests of exec, attach and port-forward share: calls for URLs, and clients that use them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/child.h"
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {

class StreamingNode : public OnRuntime {
 protected:
  void SetUp() override;

  struct Wanted {
    bool tty = false;
    bool input = false;
    bool errors = false;
  };
  std::string ExecUrl(const std::string& container, const std::vector<std::string>& command, const Wanted& wanted);
  std::string AttachUrl(const std::string& container, const Wanted& wanted);
  std::string ForwardUrl(const std::string& pod);
  static std::vector<std::string> Flags(const Wanted& wanted);

  // The client that is not ours (peer/main.go), to its end.
  struct Ended {
    std::string output;
    std::string errors;
    std::string status;  // the error stream
    int code = -1;
  };
  static base::SpawnOptions PeerCommand(std::vector<std::string> arguments);
  Ended Peer(std::vector<std::string> arguments, const std::string& input = {},
             std::chrono::seconds limit = std::chrono::seconds(120));
  Ended Remote(const std::string& url, const Wanted& wanted, const std::string& input = {},
               const std::vector<std::string>& more = {});

  // A client that goes on beside the test; its output comes through the pipe.
  struct Beside {
    base::Child child;
    base::UniqueFd output;
    base::UniqueFd input;
    std::string text;
    bool Read(const std::string& wanted);  // until the output has it
  };
  static Beside Start(base::SpawnOptions spawn);
  base::SpawnOptions Berth(std::vector<std::string> arguments);  // the client for people
  // Its end, which must come.
  static base::ExitStatus WaitFor(base::Child& child);

  Made Sleeper() { return RunContainer(Sh("trap 'exit 0' TERM; while :; do sleep 0.1; done")); }
  std::string Running(const Made& made, const std::string& text);  // command lines that have it
  std::string PidOf(const Made& made);
  std::string Zombies(const Made& made);  // processes of the pod that nobody has reaped

  // Of the daemon.
  struct Held {
    size_t descriptors = 0;
    size_t sockets = 0;
    size_t threads = 0;
  };
  Held DaemonHolds();
  size_t DaemonMemoryKiB();
};

// With a container that does nothing.
class SleepingNode : public StreamingNode {
 protected:
  void SetUp() override;
  Ended Exec(const std::string& script, const Wanted& wanted = {.errors = true}, const std::string& input = {},
             const std::vector<std::string>& more = {}) {
    return Remote(ExecUrl(made_.container, Sh(script), wanted), wanted, input, more);
  }
  Made made_;
};

}  // namespace berth::e2e
