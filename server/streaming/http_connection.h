// One HTTP connection: one request, which either becomes a stream or is refused.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/steady_timer.hpp>

#include "server/http/exchange.h"
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
};

// Takes the connection over, until it has become a session or is refused. On the loop.
std::weak_ptr<http::Exchange> ServeHttp(const HttpParts& parts, spdy::Socket socket);

}  // namespace berth::streaming
