// One HTTP connection up to the head of its one request, and the answer where that does not become a stream.
#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "spdy/socket.h"

namespace berth::http {

using Request = boost::beast::http::request<boost::beast::http::string_body>;
using Headers = std::vector<std::pair<std::string, std::string>>;

// Keeps itself alive while something is under way. All of it on the socket's loop.
class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  // `limit`: until Serve has its request, and then until whoever serves it stops the timer or has answered.
  Exchange(spdy::Socket socket, std::chrono::nanoseconds limit);
  virtual ~Exchange() = default;

  // The TLS handshake, if any, and the request's head; then Serve.
  void Start();
  // At once; nothing when the connection has become something else.
  void Close() { socket_.Close(); }

 protected:
  virtual void Serve() = 0;

  // Answers and closes, once the client has read it all.
  void Answer(boost::beast::http::status status, std::string_view content_type, std::string body,
              const Headers& headers = {});
  // The same with one line of text.
  void Refuse(boost::beast::http::status status, std::string_view text, const Headers& headers = {});

  // What came behind the request's head: it belongs to what follows.
  std::string TakeBuffer();

  spdy::Socket socket_;
  boost::asio::steady_timer timer_;
  std::shared_ptr<Request> request_;  // set when Serve is called

 private:
  void ReadHead();
  void Discard();

  const std::chrono::nanoseconds limit_;
  boost::beast::flat_buffer buffer_;
  boost::beast::http::request_parser<boost::beast::http::string_body> parser_;
  std::array<char, 1024> discarded_;
};

}  // namespace berth::http
