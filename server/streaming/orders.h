// What the RPCs ask for, kept until the client comes over HTTP, and what the rest of the daemon then does for it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace berth::streaming {

struct Streams {
  bool tty = false;
  bool input = false;
  bool output = false;
  bool errors = false;
};

struct ExecOrder {
  std::string container;
  std::vector<std::string> command;
  Streams streams;
};
struct AttachOrder {
  std::string container;
  Streams streams;
};
struct ForwardOrder {
  std::string pod;
  std::vector<uint16_t> ports;  // only some WebSocket clients need them
};
using Order = std::variant<ExecOrder, AttachOrder, ForwardOrder>;

// A process that was started for an ExecOrder. Descriptors are ours alone and non-blocking; those that were not asked
// for are absent. With a terminal `input` and `output` are both its master. Destroying it leaves the process to itself.
class Process {
 public:
  virtual ~Process() = default;
  virtual int exited() const = 0;            // readable once it has ended
  virtual base::Result<int> ExitCode() = 0;  // then: 0 to 255, or why it never ran. Once; does not block

  base::UniqueFd input;
  base::UniqueFd output;
  base::UniqueFd errors;
};

// A container's streams: a SOCK_SEQPACKET descriptor, non-blocking, of packets with one PacketKind byte in front of the
// data. shutdown(SHUT_WR) ends the input; a send that fails with EPIPE means that nobody reads it any more. A close
// without kEnded means that we were too slow, or that the other side died.
enum class PacketKind : uint8_t { kInput = 0, kOutput = 1, kErrors = 2, kEnded = 3 };
inline constexpr size_t kPacketData = 16384;
struct Attachment {
  base::UniqueFd packets;
  bool takes_input = false;                        // the container has a stdin
  std::function<void(uint16_t, uint16_t)> resize;  // columns, rows; does not block
};

// All but the last run on Options::work and may block until the context ends.
struct Callbacks {
  std::function<base::Result<std::unique_ptr<Process>>(const ExecOrder&, const base::Context&)> exec;
  std::function<base::Result<Attachment>(const AttachOrder&, const base::Context&)> attach;
  // A connected TCP socket to a port of the pod, non-blocking.
  std::function<base::Result<base::UniqueFd>(const std::string& pod, uint16_t port, const base::Context&)> connect;
  // Whether port-forwards to the pod may go on. On the loop; does not block. Who makes this false calls
  // Server::ClosePod afterwards: then no session is missed, however new it is.
  std::function<bool(const std::string& pod)> pod_is_ready;
};

}  // namespace berth::streaming
