// The HTTP server of Exec, Attach and PortForward: gives out URLs, and serves whoever comes with one.
//
//   client --HTTP, upgrade--> HttpConnection --token--> order
//     exec, attach:  Channels (SPDY streams or WebSocket messages) <-> ExecSession, AttachSession <-> descriptors
//     port-forward:  PortForwardSession (SPDY, also in a WebSocket), PortForwardChannels <-> sockets
//
// All of it runs on one thread of its own and its io_context; what may block (starting a process, connecting) runs on
// the executor that it is given.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/executor.h"
#include "base/file.h"
#include "base/result.h"
#include "server/streaming/orders.h"

namespace berth::streaming {

class Server {
 public:
  struct Options {
    std::string address = "127.0.0.1";
    uint16_t port = 0;       // 0: any that is free
    base::Path certificate;  // not empty: https
    base::Path key;
    base::Path client_ca;
    std::chrono::nanoseconds idle{std::chrono::hours(4)};
    std::chrono::nanoseconds creation{std::chrono::seconds(30)};  // of a request and of the streams it needs
    std::chrono::nanoseconds drain{std::chrono::milliseconds(500)};
    size_t max_waiting = 512;  // connections without a stream yet; for one more the oldest is closed
    Callbacks callbacks;
    base::Executor* work = nullptr;  // not owned; ends before this does
    std::function<void(const std::string&)> report = [](const std::string&) {
    };  // problems, one sentence each; any thread
  };

  // Listens; the thread starts with it.
  static base::Result<std::unique_ptr<Server>> Start(Options options);
  ~Server();

  // The URL at which a client gets what it asked for, once and soon. kResourceExhausted when too many wait.
  // Thread-safe.
  base::Result<std::string> UrlFor(Order order);
  // Ends port-forwards to the pod, which Callbacks::pod_is_ready denies from now on. Thread-safe; does not wait.
  void ClosePod(const std::string& pod);
  // Ends the thread and every connection; processes that were started go on. Idempotent.
  void Stop();

  // Sessions at this moment. Thread-safe; for tests and metrics.
  size_t sessions() const;

 private:
  struct State;
  explicit Server(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace berth::streaming
