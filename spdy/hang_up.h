// Whether a socket's peer has gone, while nobody reads from it: what it sent stays where it is.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

namespace berth::spdy {

// On the socket's loop alone.
class HangUp {
 public:
  struct Calls {
    std::function<void()> gone;  // once the peer sends no more or the connection is broken
    // From time to time, to send what a peer that is there ignores. The end of one that has gone may stand behind data
    // for which we have no room; but its kernel answers what it is sent by breaking the connection off.
    std::function<void()> probe;
  };
  // Calls until Stop.
  void Watch(const boost::asio::any_io_executor& loop, int socket, Calls calls);
  void Stop();

 private:
  void WaitToProbe();

  std::unique_ptr<boost::asio::posix::stream_descriptor> epoll_;
  std::optional<boost::asio::steady_timer> timer_;
  std::shared_ptr<Calls> calls_;
};

}  // namespace berth::spdy
