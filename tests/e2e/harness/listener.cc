#include "tests/e2e/harness/listener.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace berth::e2e {
namespace {

template <typename Address>
base::Status ListenAt(int fd, Address address, int backlog, uint16_t& port, in_port_t Address::*field) {
  socklen_t size = sizeof address;
  const auto generic = [&] { return reinterpret_cast<sockaddr*>(&address); };
  if (bind(fd, generic(), size) != 0 || listen(fd, backlog) != 0 || getsockname(fd, generic(), &size) != 0)
    return base::FailErrno(errno, "listen");
  port = ntohs(address.*field);
  return {};
}

// A socket belongs to the namespace that its thread is in when it is made.
base::Status MakeSocket(const Listener::Options& options, base::UniqueFd& out, uint16_t& port) {
  if (!options.net_namespace.empty()) {
    const base::UniqueFd space(open(options.net_namespace.c_str(), O_RDONLY | O_CLOEXEC));
    if (!space || setns(space.get(), CLONE_NEWNET) != 0)
      return base::FailErrno(errno, "enter ", options.net_namespace.native());
  }
  out.Reset(socket(options.v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!out) return base::FailErrno(errno, "make a socket");
  const int on = 1;
  setsockopt(out.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!options.v6) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(options.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return ListenAt(out.get(), address, options.backlog, port, &sockaddr_in::sin_port);
  }
  setsockopt(out.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(options.port);
  address.sin6_addr = in6addr_loopback;
  return ListenAt(out.get(), address, options.backlog, port, &sockaddr_in6::sin6_port);
}

}  // namespace

base::Result<std::unique_ptr<Listener>> Listener::Start(Options options) {
  std::unique_ptr<Listener> out(new Listener());
  base::Status made;
  std::thread([&] { made = MakeSocket(options, out->socket_, out->port_); }).join();
  RETURN_IF_ERROR(std::move(made));
  for (size_t i = 0; i < options.at_once; ++i) {
    out->threads_.emplace_back([fd = out->socket_.get(), serve = options.serve] {
      while (true) {
        const base::UniqueFd connection(accept4(fd, nullptr, nullptr, SOCK_CLOEXEC));
        if (connection)
          serve(connection.get());
        else if (errno != ECONNABORTED && errno != EINTR)
          return;  // shut down
      }
    });
  }
  return out;
}

Listener::~Listener() {
  shutdown(socket_.get(), SHUT_RDWR);
  for (std::thread& thread : threads_) thread.join();
}

void Listener::Echo(int connection) {
  char piece[64 << 10];
  for (ssize_t got = 0; (got = read(connection, piece, sizeof piece)) > 0;) {
    for (ssize_t at = 0, sent = 0; at < got; at += sent) {
      sent = send(connection, piece + at, static_cast<size_t>(got - at), MSG_NOSIGNAL);
      if (sent <= 0) return;
    }
  }
}

}  // namespace berth::e2e
