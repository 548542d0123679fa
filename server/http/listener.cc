#include "server/http/listener.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include "base/time.h"

namespace berth::http {

namespace asio = boost::asio;
using asio::ip::tcp;
using base::Code;
using base::Fail;
using boost::system::error_code;

namespace {
constexpr auto kAcceptPause = std::chrono::milliseconds(100);
// A child of a killed daemon has its listening socket until it execs.
constexpr auto kFormerDaemon = std::chrono::seconds(1);
constexpr auto kFormerDaemonPause = std::chrono::milliseconds(10);
constexpr mode_t kSocketMode = 0660;
}  // namespace

base::Result<std::unique_ptr<Listener>> Listener::Listen(asio::io_context& loop, Options options) {
  std::unique_ptr<Listener> out(new Listener(loop, std::move(options)));
  if (!out->options_.tls.certificate.empty()) {
    ASSIGN_OR_RETURN(out->tls_, Tls::Make(out->options_.tls), out->options_.what);
  }
  RETURN_IF_ERROR(out->options_.socket.empty() ? out->ListenTcp() : out->ListenUnix(), out->options_.what);
  return out;
}

base::Status Listener::Bind(const Protocol& protocol, const Protocol::endpoint& endpoint, const std::string& where) {
  const base::TimePoint patience = base::Monotonic::now() + kFormerDaemon;
  error_code error;
  for (;;) {
    acceptor_.open(protocol, error);
    if (!error && options_.socket.empty()) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(tcp::acceptor::max_listen_connections, error);
    if (error != asio::error::address_in_use || base::Monotonic::now() > patience) break;
    error_code ignored;
    acceptor_.close(ignored);
    std::this_thread::sleep_for(kFormerDaemonPause);
  }
  if (error) return Fail(Code::kUnavailable, "listen on ", where, ": ", error.message());
  return {};
}

base::Status Listener::ListenTcp() {
  error_code error;
  const auto address = asio::ip::make_address(options_.address, error);
  if (error) return Fail(Code::kInvalidArgument, "address ", options_.address, ": not an IP address");
  const tcp::endpoint endpoint(address, options_.port);
  RETURN_IF_ERROR(Bind(endpoint.protocol(), endpoint, base::Cat(options_.address, " port ", options_.port)));
  tcp::endpoint bound;
  const Protocol::endpoint local = acceptor_.local_endpoint();
  std::memcpy(bound.data(), local.data(), std::min(local.size(), bound.capacity()));
  // Whoever listens everywhere is reached at the loopback address: clients are on this node.
  std::string host = address.is_unspecified() ? (address.is_v6() ? "::1" : "127.0.0.1") : address.to_string();
  if (address.is_v6()) host = "[" + host + "]";
  url_ = base::Cat(tls_ ? "https://" : "http://", host, ":", bound.port());
  return {};
}

base::Status Listener::ListenUnix() {
  const base::Path& path = options_.socket;
  if (path.native().size() > 107)
    return Fail(Code::kInvalidArgument, "socket ", path.native(), ": its path is longer than 107 bytes");
  RETURN_IF_ERROR(base::MakeDirs(path.parent_path(), 0711));
  RETURN_IF_ERROR(base::RemoveFile(path));  // left by a daemon that was killed
  const asio::local::stream_protocol::endpoint endpoint(path.native());
  RETURN_IF_ERROR(Bind(endpoint.protocol(), endpoint, path.native()));
  // Until then root alone may connect, by the daemon's umask, which other threads rely on.
  if (chmod(path.c_str(), kSocketMode) != 0) return base::FailErrno(errno, "chmod ", path.native());
  return {};
}

void Listener::Accept() {
  acceptor_.async_accept([this](const error_code& error, Protocol::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (!error) {
      Take(std::move(socket));
      return Accept();
    }
    // No descriptors are left, most likely: it would fail again at once.
    pause_.expires_after(kAcceptPause);
    pause_.async_wait([this](const error_code& stopped) {
      if (!stopped) Accept();
    });
  });
}

void Listener::Take(Protocol::socket accepted) {
  error_code error;
  if (options_.socket.empty()) accepted.set_option(tcp::no_delay(true), error);
  // Asio's stream sockets differ in their addresses alone, and nobody asks for those here.
  tcp::socket socket(accepted.get_executor());
  const int fd = accepted.release(error);
  if (error || socket.assign(tcp::v4(), fd, error)) return;
  if (!tls_) return options_.connected(spdy::Socket(std::move(socket)));
  std::string problem;
  const auto context = tls_->Current(problem);
  if (!problem.empty() && options_.report) options_.report(problem);
  options_.connected(spdy::Socket(std::make_unique<spdy::Socket::Tls>(std::move(socket), *context)));
}

void Listener::Close() {
  if (!acceptor_.is_open()) return;
  error_code ignored;
  acceptor_.close(ignored);
  pause_.cancel();
  if (!options_.socket.empty()) (void)base::RemoveFile(options_.socket);
}

}  // namespace berth::http
