// One HTTP connection: one request, which either becomes a stream or is refused.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/steady_timer.hpp>

#include "server/streaming/exec_session.h"
#include "server/streaming/tokens.h"
#include "spdy/socket.h"

namespace berth::streaming {

struct HttpParts {
  SessionParts session;
  Tokens& tokens;
  std::chrono::nanoseconds idle;
  std::chrono::nanoseconds creation;
  // A session has begun; `pod` is that of a port-forward. It may be aborted in this call.
  std::function<void(std::weak_ptr<Session>, const std::string& pod)> on_session;
  size_t& waiting;  // connections that have become no session yet
};

// Takes the connection over. On the loop.
void ServeHttp(const HttpParts& parts, spdy::Socket socket);

}  // namespace berth::streaming
