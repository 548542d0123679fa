// An accepted WebSocket. Boost.Beast does the protocol (masks, fragments, pings, the closing handshake); this hides it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>

#include "spdy/transport.h"

namespace berth::streaming {

using HttpRequest = boost::beast::http::request<boost::beast::http::string_body>;

// On the loop alone. One read and one write at a time.
class WebSocket {
 public:
  virtual ~WebSocket() = default;
  // A whole message. Pings and the peer's closing are answered while a read is under way.
  virtual void AsyncRead(
      std::function<void(const boost::system::error_code&, std::string message, bool text)> handler) = 0;
  // Bytes of binary messages, whatever their borders.
  virtual void AsyncReadSome(std::span<char> into, spdy::Transport::Handler handler) = 0;
  virtual void AsyncWrite(const std::vector<boost::asio::const_buffer>& message, bool text,
                          spdy::Transport::Handler handler) = 0;
  // Says 1000 and waits, for a bounded time, for the peer to say the same.
  virtual void AsyncClose(std::function<void()> done) = 0;
  // While nothing is read: `gone` is called once the peer has left.
  virtual void WatchHangUp(std::function<void()> gone) = 0;
  virtual void StopWatchingHangUp() = 0;
  virtual void Close() = 0;
  virtual boost::asio::any_io_executor Executor() = 0;
};

// Answers the request, with the subprotocol when it is not empty. nullptr when that failed. `idle`: no frame in either
// direction for so long ends it.
void AcceptWebSocket(spdy::Socket socket, std::shared_ptr<HttpRequest> request, const std::string& protocol,
                     std::chrono::nanoseconds idle, std::function<void(std::shared_ptr<WebSocket>)> done);

// A byte stream in binary messages: the tunnel of SPDY/3.1+portforward.k8s.io.
std::unique_ptr<spdy::Transport> MakeTunnel(std::shared_ptr<WebSocket> socket);

}  // namespace berth::streaming
