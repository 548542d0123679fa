// Where HTTP is served: a TCP address or a Unix socket, with TLS or without.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/file.h"
#include "base/result.h"
#include "server/http/tls.h"
#include "spdy/socket.h"

namespace berth::http {

// All of it on the loop, or while no thread runs it.
class Listener {
 public:
  struct Options {
    std::string what;                                  // "streaming", for errors
    std::string address;                               // an IP address
    uint16_t port = 0;                                 // 0: any that is free
    base::Path socket{};                               // not empty: a Unix socket instead, for its owner and group
    Tls::Options tls{};                                // a certificate: https
    std::function<void(const std::string&)> report{};  // problems, one sentence each
    std::function<void(spdy::Socket)> connected{};     // the TLS handshake is still to be made
  };
  static base::Result<std::unique_ptr<Listener>> Listen(boost::asio::io_context& loop, Options options);
  ~Listener() { Close(); }

  void Accept();  // from now on
  void Close();   // a Unix socket is removed
  // "https://127.0.0.1:4711": where a client on this node finds it; empty for a Unix socket.
  const std::string& url() const { return url_; }

 private:
  using Protocol = boost::asio::generic::stream_protocol;
  Listener(boost::asio::io_context& loop, Options options)
      : options_(std::move(options)), acceptor_(loop), pause_(loop) {}
  base::Status ListenTcp();
  base::Status ListenUnix();
  base::Status Bind(const Protocol& protocol, const Protocol::endpoint& endpoint, const std::string& where);
  void Take(Protocol::socket accepted);

  const Options options_;
  boost::asio::basic_socket_acceptor<Protocol> acceptor_;
  boost::asio::steady_timer pause_;
  std::unique_ptr<Tls> tls_;
  std::string url_;
};

}  // namespace berth::http
