#include "server/streaming/port_forward.h"

#include <fcntl.h>

#include <algorithm>

#include <boost/asio/post.hpp>

#include "base/strings.h"

namespace berth::streaming {

namespace asio = boost::asio;

namespace {
constexpr size_t kAllInput = 16 << 20;
constexpr size_t kLeastInput = 64 << 10;
constexpr size_t kMaxId = 256;  // clients count
// Of one session at once: a port that drops what comes holds a thread, which execs of other pods need, for seconds.
constexpr size_t kConnecting = 8;
}  // namespace

void Forwarded::Connected(const SessionParts& parts, base::UniqueFd socket) {
  if (closed_) return;
  base::UniqueFd other(fcntl(socket.get(), F_DUPFD_CLOEXEC, 0));
  if (!other) {
    if (const auto on_end = std::exchange(handlers_.on_end, nullptr)) on_end();
    return;
  }
  sink_ = std::make_shared<FdSink>(parts.loop, std::move(other), FdSink::AtEnd::kShutdown, [self = shared_from_this()] {
    if (const auto on_written = self->handlers_.on_written) on_written();  // a copy: Close may be called in it
  });
  FdSource::Handlers handlers;
  handlers.has_room = handlers_.has_room;
  handlers.on_data = handlers_.on_data;
  handlers.on_end = [self = shared_from_this()] {
    if (const auto on_end = self->handlers_.on_end) on_end();
  };
  source_ = std::make_shared<FdSource>(parts.loop, std::move(socket), parts.scratch, std::move(handlers));
  sink_->Write(early_);
  early_.clear();
  if (write_ended_) sink_->End();
  source_->Start();
}

void Forwarded::Write(std::string_view data) {
  if (closed_) return;
  if (sink_)
    sink_->Write(data);
  else
    early_ += data;
}

void Forwarded::EndWrite() {
  write_ended_ = true;
  if (sink_) sink_->End();
}

void Forwarded::Continue() {
  if (source_) source_->Continue();
}

void Forwarded::Close() {
  closed_ = true;
  early_.clear();
  if (source_) source_->Close();
  if (sink_) sink_->Close();
  handlers_ = {};
}

std::string ForwardError(uint16_t port, const std::string& pod, const std::string& why) {
  return base::Cat("error forwarding port ", port, " to pod ", pod, ", uid : ", why);
}

void PortForwardSession::OnStream(uint32_t stream, const spdy::Headers& headers, bool fin) {
  const std::string* type = spdy::Find(headers, "streamtype");
  const std::string* port = spdy::Find(headers, "port");
  const auto number = port != nullptr ? base::ParseInt(*port) : std::nullopt;
  const std::string* given = spdy::Find(headers, "requestid");
  const bool is_data = type != nullptr && *type == "data";
  if (given != nullptr && given->size() > kMaxId) return connection_->Reset(stream, spdy::ResetStatus::kProtocolError);
  if ((!is_data && (type == nullptr || *type != "error")) || !number || *number < 1 || *number > UINT16_MAX) {
    return connection_->Reset(stream, spdy::ResetStatus::kProtocolError);
  }
  connection_->Reply(stream);
  // Clients of old name no request: the data stream is the one after its error stream.
  const std::string id = given != nullptr ? *given : base::Cat("stream ", is_data ? stream - 2 : stream);
  const PairPtr pair = PairOf(id, static_cast<uint16_t>(*number));
  uint32_t& place = is_data ? pair->data : pair->error;
  if (place != 0) {
    if (pair->error != 0) connection_->Send(pair->error, base::Cat(*type, " stream already assigned"));
    return;  // it is read and dropped
  }
  place = stream;
  (is_data ? by_data_ : by_error_)[stream] = pair;
  if (is_data && fin) pair->client_ended = true;
  if (pair->error != 0 && pair->data != 0) Complete(pair);
}

PortForwardSession::PairPtr PortForwardSession::PairOf(const std::string& id, uint16_t port) {
  PairPtr& pair = pairs_[id];
  if (pair) return pair;
  pair = std::make_shared<Pair>();
  pair->id = id;
  pair->port = port;
  pair->timer = std::make_unique<asio::steady_timer>(parts_.loop, creation_);
  pair->timer->async_wait([weak = weak_from_this(), weak_pair = std::weak_ptr(pair)](const auto& error) {
    const auto self = weak.lock();
    const auto late = weak_pair.lock();
    if (error || !self || !late || late->started) return;
    self->Fail(late, "the client did not open both streams in time");
  });
  return pair;
}

void PortForwardSession::Complete(const PairPtr& pair) {
  pair->started = true;
  pair->timer.reset();
  Forwarded::Handlers handlers;
  handlers.has_room = [this] { return connection_->queued() < kOutputHighWater; };
  handlers.on_data = [this, stream = pair->data](std::string_view data) { connection_->Send(stream, data); };
  handlers.on_end = [self = shared_from_this(), this, pair] {
    pair->socket_ended = true;
    connection_->Fin(pair->data);
    MaybeOver(pair);
  };
  handlers.on_written = [self = shared_from_this(), this, pair] {
    InputMoved();
    MaybeOver(pair);
  };
  pair->socket = std::make_shared<Forwarded>(std::move(handlers));
  if (pair->client_ended) pair->socket->EndWrite();
  to_connect_[pair->data] = pair;
  ConnectNext();
}

void PortForwardSession::ConnectNext() {
  while (!to_connect_.empty() && connecting_ < kConnecting) {
    const PairPtr next = std::move(to_connect_.begin()->second);
    to_connect_.erase(to_connect_.begin());
    Connect(next);
  }
}

void PortForwardSession::Connect(const PairPtr& pair) {
  const auto connect = [self = shared_from_this(), this, pair] {
    auto socket = std::make_shared<base::Result<base::UniqueFd>>(
        parts_.callbacks.connect(order_.pod, pair->port, base::Context().WithTimeout(parts_.start_limit)));
    asio::post(parts_.loop, [self, this, pair, socket] { Connected(pair, std::move(*socket)); });
  };
  if (base::Status accepted = parts_.work.Submit(connect); !accepted) return Fail(pair, accepted.error().Text());
  ++connecting_;
}

void PortForwardSession::Connected(const PairPtr& pair, base::Result<base::UniqueFd> socket) {
  --connecting_;
  if (closed_) return;
  ConnectNext();
  if (!pair->socket) return;
  if (!socket) return Fail(pair, socket.error().Text());
  pair->socket->Connected(parts_, *std::move(socket));
  InputMoved();
}

void PortForwardSession::Fail(const PairPtr& pair, const std::string& why) {
  connection_->Send(pair->error, ForwardError(pair->port, order_.pod, why));
  connection_->Fin(pair->error);
  connection_->Reset(pair->data);
  Forget(pair);
}

void PortForwardSession::OnData(uint32_t stream, std::string_view data) {
  const auto found = by_data_.find(stream);
  if (found == by_data_.end() || !found->second->socket) return;  // of an error stream, or of a socket that is gone
  found->second->socket->Write(data);
  if (paused_ || found->second->socket->queued() < InputLimit()) return;
  // Without credit for each stream, one that is not taken stops all.
  paused_ = true;
  connection_->PauseReading();
}

// Of one pair: many of them together may not keep what many times one may.
size_t PortForwardSession::InputLimit() const {
  return std::clamp(kAllInput / std::max<size_t>(by_data_.size(), 1), kLeastInput, kInputHighWater);
}

void PortForwardSession::InputMoved() {
  if (!paused_) return;
  for (const auto& [stream, pair] : by_data_) {
    if (pair->socket && pair->socket->queued() > kInputLowWater) return;
  }
  paused_ = false;
  connection_->ResumeReading();
}

void PortForwardSession::OnFin(uint32_t stream) {
  const auto found = by_data_.find(stream);
  if (found == by_data_.end()) return;
  const PairPtr pair = found->second;
  pair->client_ended = true;
  if (pair->socket) pair->socket->EndWrite();
  MaybeOver(pair);
}

// Clients reset the data stream when they have read all of it, and then wait for the end of the error stream.
void PortForwardSession::OnReset(uint32_t stream) {
  const auto found = by_data_.find(stream);
  if (found == by_data_.end()) {
    // Of a pair that will never be whole.
    const auto half = by_error_.find(stream);
    if (half != by_error_.end() && !half->second->started) Forget(half->second);
    return;
  }
  const PairPtr pair = found->second;
  connection_->Fin(pair->error);
  Forget(pair);
}

void PortForwardSession::MaybeOver(const PairPtr& pair) {
  if (!pair->socket_ended || !pair->client_ended || !pair->socket || pair->socket->queued() > 0) return;
  connection_->Fin(pair->error);
  Forget(pair);
}

void PortForwardSession::Forget(const PairPtr& pair) {
  const PairPtr keep = pair;  // the caller's may lie in what is erased
  if (keep->socket) keep->socket->Close();
  keep->socket.reset();
  keep->started = true;
  keep->timer.reset();
  by_data_.erase(keep->data);
  by_error_.erase(keep->error);
  to_connect_.erase(keep->data);
  const auto found = pairs_.find(keep->id);
  if (found != pairs_.end() && found->second == keep) pairs_.erase(found);
  InputMoved();
}

void PortForwardSession::OnDrained() {
  for (const auto& [stream, pair] : std::map(by_data_)) {
    if (pair->socket) pair->socket->Continue();
  }
}

// Sockets of a pod keep its network namespace: they do not wait for the client.
void PortForwardSession::Abort() {
  ForgetAll();
  connection_->Finish();
}

void PortForwardSession::OnClosed(const base::Status&) {
  ForgetAll();
}

void PortForwardSession::ForgetAll() {
  closed_ = true;
  while (!pairs_.empty()) Forget(pairs_.begin()->second);
}

}  // namespace berth::streaming
