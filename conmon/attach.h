// Attach clients: each gets a copy of the output, and what they send is merged into the container's stdin in the order
// in which it arrives. A client's socket buffer is its only buffer: one that lets it fill up is dropped, and the log
// never waits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/unique_fd.h"
#include "conmon/poller.h"
#include "conmon/protocol.h"

namespace berth::conmon {

inline constexpr uint32_t kAttachLimit = 16;

// Static memory for the one piece of stdin that the container has not taken yet.
struct StdinMemory {
  char bytes[1 + kAttachDataLimit + 1];  // frame byte, data, and one more to notice what is too long
};

class AttachHub {
 public:
  AttachHub(Poller& poller, StdinMemory& memory) : poller_(poller), memory_(memory) {}

  // The container's stdin, non-blocking: the write end of a pipe or a duplicate of the terminal's master. `once`: the
  // end of the first client's stdin closes it.
  void SetStdin(base::UniqueFd fd, bool terminal, bool once);

  // Makes a client; `out` is its end for the other side. Returns an errno or 0.
  int Attach(uint32_t flags, base::UniqueFd& out);
  // Data that the container wrote; `stream` is kStdout or kStderr.
  void Broadcast(AttachFrame stream, std::span<const char> data);
  // Closes stdin once what was accepted is delivered. Returns an errno or 0.
  int CloseStdin();
  // The container has ended: tells every client and closes it, and stdin.
  void End();

  void OnClient(uint32_t index, uint32_t events);
  void OnStdin();  // room in the container's stdin

  uint32_t clients() const { return clients_; }
  uint32_t dropped() const { return dropped_; }

 private:
  struct Client {
    base::UniqueFd fd;
    uint32_t flags = 0;
    bool reads = false;  // its stdin is wanted and has not ended
  };

  bool paused() const { return left_ > 0; }
  void Receive(uint32_t index);
  void ClientEnded(uint32_t index);
  void Finish(uint32_t index);  // an orderly end
  void Close(uint32_t index);
  void Pump();
  void ShutStdin();
  // Clients' stdin is looked at only while nothing waits for the container.
  void Pause();
  void Resume();

  Poller& poller_;
  StdinMemory& memory_;
  Client client_[kAttachLimit];
  uint32_t clients_ = 0;
  uint32_t dropped_ = 0;
  base::UniqueFd stdin_;
  bool terminal_ = false;
  bool once_ = false;
  bool close_when_drained_ = false;
  size_t at_ = 0;  // what waits for the container: memory_.bytes[at_, at_ + left_)
  size_t left_ = 0;
};

}  // namespace berth::conmon
