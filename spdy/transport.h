// What a SPDY connection lies on: a byte stream both ways. One read and one write at a time; completions come on the
// executor, never from inside the call.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>

#include "spdy/socket.h"

namespace berth::spdy {

class Transport {
 public:
  using Handler = std::function<void(const boost::system::error_code&, size_t)>;
  virtual ~Transport() = default;

  virtual boost::asio::any_io_executor Executor() = 0;
  virtual void AsyncReadSome(std::span<char> into, Handler handler) = 0;
  virtual void AsyncWrite(const std::vector<boost::asio::const_buffer>& buffers, Handler handler) = 0;  // all of it
  // What goes to the kernel at once, in bytes; 0 where that cannot be had. Not while AsyncWrite is under way.
  virtual size_t WriteNow(std::span<const boost::asio::const_buffer> buffers) {
    (void)buffers;
    return 0;
  }
  // The socket, where what goes over it are the connection's own bytes; else -1.
  virtual int Descriptor() { return -1; }
  virtual void AsyncWaitRead(std::function<void(const boost::system::error_code&)> handler) { (void)handler; }
  virtual void AsyncShutdownSend(std::function<void()> done) = 0;
  // While nothing is read.
  virtual void WatchHangUp(HangUp::Calls calls) = 0;
  virtual void StopWatchingHangUp() = 0;
  virtual void Close() = 0;  // at once; operations under way end with errors
};

class SocketTransport : public Transport {
 public:
  explicit SocketTransport(Socket socket) : socket_(std::move(socket)) {}

  boost::asio::any_io_executor Executor() override { return socket_.get_executor(); }
  void AsyncReadSome(std::span<char> into, Handler handler) override {
    socket_.async_read_some(boost::asio::buffer(into.data(), into.size()), std::move(handler));
  }
  void AsyncWrite(const std::vector<boost::asio::const_buffer>& buffers, Handler handler) override {
    // Left to itself Asio writes 64 KiB at a time.
    const auto all = [](const boost::system::error_code& error, size_t) { return error ? 0 : SIZE_MAX; };
    boost::asio::async_write(socket_, buffers, all, std::move(handler));
  }
  size_t WriteNow(std::span<const boost::asio::const_buffer> buffers) override { return socket_.WriteNow(buffers); }
  int Descriptor() override { return socket_.Descriptor(); }
  void AsyncWaitRead(std::function<void(const boost::system::error_code&)> handler) override {
    socket_.tcp().async_wait(Socket::Tcp::wait_read, std::move(handler));
  }
  void AsyncShutdownSend(std::function<void()> done) override { socket_.AsyncShutdownSend(std::move(done)); }
  void WatchHangUp(HangUp::Calls calls) override { socket_.WatchHangUp(std::move(calls)); }
  void StopWatchingHangUp() override { socket_.hang_up().Stop(); }
  void Close() override { socket_.Close(); }

 private:
  Socket socket_;
};

}  // namespace berth::spdy
