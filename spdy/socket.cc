#include "spdy/socket.h"

namespace berth::spdy {

void Socket::AsyncShutdownSend(std::function<void()> done) {
  if (tls_) {
    tls_->async_shutdown([done = std::move(done)](const boost::system::error_code&) { done(); });
    return;
  }
  boost::system::error_code ignored;
  tcp_->shutdown(Tcp::shutdown_send, ignored);
  boost::asio::post(get_executor(), std::move(done));
}

void Socket::Close() {
  boost::system::error_code ignored;
  tcp().close(ignored);
}

}  // namespace berth::spdy
