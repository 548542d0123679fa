// A connected byte stream, TCP or TLS over TCP, as one type that Boost.Asio and Boost.Beast take for a stream of
// theirs.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include <boost/asio/async_result.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/stream.hpp>

#include "spdy/hang_up.h"

namespace berth::spdy {

class Socket {
 public:
  using Tcp = boost::asio::ip::tcp::socket;
  using Tls = boost::asio::ssl::stream<Tcp>;
  using executor_type = Tcp::executor_type;

  explicit Socket(Tcp tcp) : tcp_(std::make_unique<Tcp>(std::move(tcp))) {}
  // The handshake is the caller's to make, on tls().
  explicit Socket(std::unique_ptr<Tls> tls) : tls_(std::move(tls)) {}
  Socket(Socket&&) noexcept = default;

  executor_type get_executor() { return tcp().get_executor(); }
  Tcp& tcp() { return tls_ ? tls_->next_layer() : *tcp_; }
  Tls* tls() { return tls_.get(); }

  // Bytes that were read too far; they come first.
  void PutBack(std::string bytes) { put_back_ = std::move(bytes); }

  // -1 over TLS, and while there is something put back.
  int Descriptor() { return tls_ || !put_back_.empty() ? -1 : tcp_->native_handle(); }

  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return boost::asio::async_initiate<Token, void(boost::system::error_code, size_t)>(
        [this](auto handler, const Buffers& into) {
          if (!put_back_.empty() && boost::asio::buffer_size(into) > 0) {
            const size_t taken = boost::asio::buffer_copy(into, boost::asio::buffer(put_back_));
            put_back_.erase(0, taken);
            const auto executor = boost::asio::get_associated_executor(handler, get_executor());
            boost::asio::post(executor, [handler = std::move(handler), taken]() mutable {
              handler(boost::system::error_code(), taken);
            });
          } else if (tls_) {
            tls_->async_read_some(into, std::move(handler));
          } else {
            tcp_->async_read_some(into, std::move(handler));
          }
        },
        token, buffers);
  }

  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return boost::asio::async_initiate<Token, void(boost::system::error_code, size_t)>(
        [this](auto handler, const Buffers& from) {
          if (tls_)
            tls_->async_write_some(from, std::move(handler));
          else
            tcp_->async_write_some(from, std::move(handler));
        },
        token, buffers);
  }

  // What the kernel takes at once, in bytes; nothing over TLS. Errors are left to the next write.
  size_t WriteNow(std::span<const boost::asio::const_buffer> buffers);

  // Tells the peer that no more comes; what was written before still goes out. `done` is called once, and may be long
  // after: TLS waits for the peer's answer.
  void AsyncShutdownSend(std::function<void()> done);
  void Close();  // also what was moved from

  HangUp& hang_up() { return hang_up_; }
  void WatchHangUp(HangUp::Calls calls) { hang_up_.Watch(get_executor(), tcp().native_handle(), std::move(calls)); }

 private:
  std::unique_ptr<Tcp> tcp_;
  std::unique_ptr<Tls> tls_;
  std::string put_back_;
  HangUp hang_up_;
};

}  // namespace berth::spdy
