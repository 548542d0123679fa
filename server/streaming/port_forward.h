// Port-forward over SPDY: each TCP connection is a pair of streams, one for data and one for errors.
#pragma once

#include <map>
#include <memory>
#include <string>

#include <boost/asio/steady_timer.hpp>

#include "server/streaming/exec_session.h"
#include "spdy/connection.h"

namespace berth::streaming {

// A socket of the pod between two ends that bring and take bytes. On the loop alone.
class Forwarded : public std::enable_shared_from_this<Forwarded> {
 public:
  struct Handlers {
    std::function<bool()> has_room;
    std::function<void(std::string_view)> on_data;
    std::function<void()> on_end;      // the socket brings no more
    std::function<void()> on_written;  // some of what came for it is gone
  };
  explicit Forwarded(Handlers handlers) : handlers_(std::move(handlers)) {}

  void Connected(const SessionParts& parts, base::UniqueFd socket);
  void Write(std::string_view data);  // also before Connected
  void EndWrite();
  void Continue();
  void Close();
  // What has come for the socket and is not in the kernel.
  size_t queued() const { return sink_ ? sink_->queued() : early_.size(); }

 private:
  Handlers handlers_;
  std::shared_ptr<FdSource> source_;
  std::shared_ptr<FdSink> sink_;
  std::string early_;
  bool write_ended_ = false;
  bool closed_ = false;
};

// On the loop alone.
class PortForwardSession final : public spdy::ConnectionUser,
                                 public Session,
                                 public std::enable_shared_from_this<PortForwardSession> {
 public:
  PortForwardSession(const SessionParts& parts, ForwardOrder order, std::shared_ptr<spdy::Connection> connection,
                     std::chrono::nanoseconds creation)
      : parts_(parts), order_(std::move(order)), connection_(std::move(connection)), creation_(creation) {}
  void Start() { connection_->Start(shared_from_this()); }
  void Abort() override;

 private:
  struct Pair {
    std::string id;
    uint16_t port = 0;
    uint32_t error = 0;  // stream ids, 0: not there
    uint32_t data = 0;
    bool started = false;
    bool socket_ended = false;
    bool client_ended = false;
    std::unique_ptr<boost::asio::steady_timer> timer;
    std::shared_ptr<Forwarded> socket;
  };
  using PairPtr = std::shared_ptr<Pair>;

  void OnStream(uint32_t stream, const spdy::Headers& headers, bool fin) override;
  void OnData(uint32_t stream, std::string_view data) override;
  void OnFin(uint32_t stream) override;
  void OnReset(uint32_t stream) override;
  void OnDrained() override;
  void OnClosed(const base::Status& why) override;

  PairPtr PairOf(const std::string& id, uint16_t port);
  void Complete(const PairPtr& pair);
  void ConnectNext();
  void Connect(const PairPtr& pair);
  void Connected(const PairPtr& pair, base::Result<base::UniqueFd> socket);
  void Fail(const PairPtr& pair, const std::string& why);
  void MaybeOver(const PairPtr& pair);
  void Forget(const PairPtr& pair);
  void ForgetAll();
  void InputMoved();
  size_t InputLimit() const;

  const SessionParts& parts_;
  const ForwardOrder order_;
  std::shared_ptr<spdy::Connection> connection_;
  const std::chrono::nanoseconds creation_;
  std::map<std::string, PairPtr> pairs_;    // by request id
  std::map<uint32_t, PairPtr> by_data_;     // by data stream
  std::map<uint32_t, PairPtr> by_error_;    // by error stream
  std::map<uint32_t, PairPtr> to_connect_;  // by data stream: the oldest first
  size_t connecting_ = 0;
  bool paused_ = false;
  bool closed_ = false;
};

// What goes over the error stream.
std::string ForwardError(uint16_t port, const std::string& pod, const std::string& why);

}  // namespace berth::streaming
