#include "spdy/socket.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>

namespace berth::spdy {

size_t Socket::WriteNow(std::span<const boost::asio::const_buffer> buffers) {
  if (tls_) return 0;
  std::array<iovec, 64> parts;
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = std::min(buffers.size(), parts.size());
  for (size_t i = 0; i < message.msg_iovlen; ++i) {
    parts[i] = {.iov_base = const_cast<void*>(buffers[i].data()), .iov_len = buffers[i].size()};
  }
  const ssize_t sent = sendmsg(tcp_->native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent > 0 ? static_cast<size_t>(sent) : 0;
}

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
  hang_up_.Stop();
  if (!tcp_ && !tls_) return;
  boost::system::error_code ignored;
  tcp().close(ignored);
}

}  // namespace berth::spdy
