// The control socket: accepts berthd's connections, takes requests, sends replies and the notice of the end.
#pragma once

#include <cstdint>

#include "base/unique_fd.h"
#include "conmon/poller.h"
#include "conmon/protocol.h"

namespace berth::conmon {

inline constexpr uint32_t kControlLimit = 16;

// What a request does; implemented by the monitor.
class ControlHandler {
 public:
  // Fills `reply` apart from version, type and id. `passed` goes along with the reply.
  virtual void Handle(const Request& request, Reply& reply, base::UniqueFd& passed) = 0;
  // The state to put into a notice.
  virtual void Describe(Reply& reply) const = 0;

 protected:
  ~ControlHandler() = default;
};

class ControlServer {
 public:
  ControlServer(Poller& poller, int listener, ControlHandler& handler)
      : poller_(poller), handler_(handler), listener_(listener) {}

  bool Start();
  void OnAccept();
  void OnReadable(uint32_t index);
  // Sends kExit to all subscribers.
  void NotifyExit();

 private:
  struct Connection {
    base::UniqueFd fd;
    bool subscribed = false;
  };
  void Answer(uint32_t index, const Request& request);
  void SendExit(uint32_t index);
  void Send(uint32_t index, const Reply& reply, int passed);
  void Close(uint32_t index);

  Poller& poller_;
  ControlHandler& handler_;
  base::UniqueFd listener_;
  Connection connection_[kControlLimit];
};

}  // namespace berth::conmon
