#include "server/streaming/websocket.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket/stream.hpp>

#include "base/time.h"

// How Beast ends the connection under a WebSocket; found by the argument's namespace.
namespace berth::spdy {

[[maybe_unused]] static void teardown(boost::beast::role_type, Socket& socket, boost::system::error_code& error) {
  error = {};
  socket.Close();
}

// For time-outs.
static void beast_close_socket(Socket& socket) {
  socket.Close();
}

template <typename Handler>
void async_teardown(boost::beast::role_type, Socket& socket, Handler&& handler) {
  boost::system::error_code ignored;
  socket.tcp().shutdown(Socket::Tcp::shutdown_send, ignored);
  boost::asio::post(socket.get_executor(),
                    [handler = std::forward<Handler>(handler)]() mutable { handler(boost::system::error_code()); });
}

}  // namespace berth::spdy

namespace berth::streaming {
namespace {

namespace websocket = boost::beast::websocket;
using boost::system::error_code;

constexpr size_t kMaxMessage = 1 << 20;
constexpr auto kCloseTime = std::chrono::seconds(5);

class BeastWebSocket final : public WebSocket, public std::enable_shared_from_this<BeastWebSocket> {
 public:
  explicit BeastWebSocket(spdy::Socket socket) : stream_(std::move(socket)) {
    stream_.read_message_max(kMaxMessage);
    stream_.auto_fragment(false);
  }
  void Accept(std::shared_ptr<HttpRequest> request, const std::string& protocol, std::chrono::nanoseconds idle,
              std::function<void(std::shared_ptr<WebSocket>)> done) {
    // Beast's own idle time counts what is received alone: who only listens would be cut off from what it hears.
    stream_.set_option(websocket::stream_base::timeout{kCloseTime, websocket::stream_base::none(), false});
    stream_.control_callback([this](websocket::frame_type, boost::beast::string_view) { Moved(); });
    idle_ = std::chrono::duration_cast<base::Monotonic::duration>(idle);
    WatchIdle();
    stream_.set_option(websocket::stream_base::decorator([protocol](websocket::response_type& response) {
      if (!protocol.empty()) response.set(boost::beast::http::field::sec_websocket_protocol, protocol);
    }));
    stream_.async_accept(*request, [self = shared_from_this(), request,
                                    done = std::move(done)](const error_code& error) { done(error ? nullptr : self); });
  }

  void AsyncRead(std::function<void(const error_code&, std::string, bool)> handler) override {
    stream_.async_read(
        buffer_, [self = shared_from_this(), this, handler = std::move(handler)](const error_code& error, size_t) {
          Moved();
          std::string message = boost::beast::buffers_to_string(buffer_.data());
          buffer_.consume(buffer_.size());
          handler(error, std::move(message), stream_.got_text());
        });
  }
  void AsyncReadSome(std::span<char> into, spdy::Transport::Handler handler) override {
    stream_.async_read_some(
        boost::asio::buffer(into.data(), into.size()),
        [self = shared_from_this(), this, handler = std::move(handler)](const error_code& error, size_t size) {
          Moved();
          // "a text message is an error" of the tunnel
          if (!error && stream_.got_text()) return handler(boost::asio::error::invalid_argument, 0);
          // The peer's closing is the stream's end.
          handler(error == websocket::error::closed ? boost::asio::error::eof : error, size);
        });
  }
  void AsyncWrite(const std::vector<boost::asio::const_buffer>& message, bool text,
                  spdy::Transport::Handler handler) override {
    stream_.text(text);
    stream_.async_write(
        message, [self = shared_from_this(), this, handler = std::move(handler)](const error_code& error, size_t size) {
          Moved();
          handler(error, size);
        });
  }
  void AsyncClose(std::function<void()> done) override {
    stream_.async_close(websocket::close_code::normal,
                        [self = shared_from_this(), done = std::move(done)](const error_code&) { done(); });
  }
  void WatchHangUp(std::function<void()> gone) override {
    stream_.next_layer().WatchHangUp({.gone = std::move(gone), .probe = [this] { Probe(); }});
  }
  void StopWatchingHangUp() override { stream_.next_layer().hang_up().Stop(); }
  void Close() override { stream_.next_layer().Close(); }
  boost::asio::any_io_executor Executor() override { return stream_.get_executor(); }

 private:
  // A pong that nobody asked for, which every peer ignores. It does not count as a frame.
  void Probe() {
    if (std::exchange(probing_, true)) return;
    stream_.async_pong({}, [self = shared_from_this(), this](const error_code&) { probing_ = false; });
  }
  void Moved() { active_ = base::Monotonic::now(); }
  void WatchIdle() {
    timer_.expires_at(active_ + idle_);
    timer_.async_wait([weak = weak_from_this(), this](const error_code& error) {
      const auto self = weak.lock();
      if (error || !self) return;
      if (base::Monotonic::now() - active_ < idle_) return WatchIdle();
      Close();  // what is under way ends with errors
    });
  }

  websocket::stream<spdy::Socket, false> stream_;
  boost::asio::steady_timer timer_{stream_.get_executor()};
  base::Monotonic::duration idle_{};  // without a frame in either direction
  base::TimePoint active_ = base::Monotonic::now();
  boost::beast::flat_buffer buffer_;
  bool probing_ = false;
};

class Tunnel final : public spdy::Transport {
 public:
  explicit Tunnel(std::shared_ptr<WebSocket> socket) : socket_(std::move(socket)) {}
  boost::asio::any_io_executor Executor() override { return socket_->Executor(); }
  void AsyncReadSome(std::span<char> into, Handler handler) override {
    socket_->AsyncReadSome(into, std::move(handler));
  }
  void AsyncWrite(const std::vector<boost::asio::const_buffer>& buffers, Handler handler) override {
    socket_->AsyncWrite(buffers, false, std::move(handler));
  }
  void AsyncShutdownSend(std::function<void()> done) override { socket_->AsyncClose(std::move(done)); }
  void WatchHangUp(spdy::HangUp::Calls calls) override { socket_->WatchHangUp(std::move(calls.gone)); }
  void StopWatchingHangUp() override { socket_->StopWatchingHangUp(); }
  void Close() override { socket_->Close(); }

 private:
  std::shared_ptr<WebSocket> socket_;
};

}  // namespace

void AcceptWebSocket(spdy::Socket socket, std::shared_ptr<HttpRequest> request, const std::string& protocol,
                     std::chrono::nanoseconds idle, std::function<void(std::shared_ptr<WebSocket>)> done) {
  std::make_shared<BeastWebSocket>(std::move(socket))->Accept(std::move(request), protocol, idle, std::move(done));
}

std::unique_ptr<spdy::Transport> MakeTunnel(std::shared_ptr<WebSocket> socket) {
  return std::make_unique<Tunnel>(std::move(socket));
}

}  // namespace berth::streaming
