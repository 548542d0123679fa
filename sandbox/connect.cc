// Connections into a pod, for port-forward: a socket belongs for ever to the network namespace that it was made in.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>

#include "base/time.h"
#include "kernel/namespace.h"
#include "sandbox/sandboxes.h"

namespace berth::sandbox {
namespace {

using base::Code;
using base::Fail;

// The pod may drop what comes for a port, and others wait for the thread.
constexpr auto kEach = std::chrono::seconds(5);

struct Sockets {
  base::UniqueFd v4;
  base::UniqueFd v6;  // invalid where the kernel has no IPv6
};

base::Status MakeSockets(Sockets& out) {
  out.v4.Reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!out.v4) return base::FailErrno(errno, "make a socket");
  out.v6.Reset(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return {};
}

template <typename Address>
base::Status ConnectSocket(int fd, const Address& address, std::string_view what, const base::Context& context) {
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return {};
  if (errno != EINPROGRESS) return base::FailErrno(errno, "connect to ", what);
  RETURN_IF_ERROR(context.Wait(fd, POLLOUT, what));
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) return base::FailErrno(error, "connect to ", what);
  return {};
}

}  // namespace

base::Result<base::UniqueFd> Sandboxes::Connect(const std::string& id, uint16_t port, const base::Context& context) {
  ASSIGN_OR_RETURN(const auto sandbox, Find(id));
  if (sandbox->state != State::kReady) return Fail(Code::kFailedPrecondition, "sandbox ", sandbox->id, " is not ready");
  const auto sockets = std::make_shared<Sockets>();
  if (sandbox->net_namespace.empty()) {
    RETURN_IF_ERROR(MakeSockets(*sockets));
  } else {
    RETURN_IF_ERROR(kernel::RunInNetNs(
        sandbox->net_namespace, [sockets] { return MakeSockets(*sockets); }, context));
  }
  // One after the other, and by number: a pod's own idea of "localhost" is nobody's business.
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  base::Status first = ConnectSocket(sockets->v4.get(), v4, base::Cat("127.0.0.1:", port), context.WithTimeout(kEach));
  if (first) return std::move(sockets->v4);
  if (!sockets->v6) return tl::make_unexpected(std::move(first).error());
  RETURN_IF_ERROR(context.Check("connect"));
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  v6.sin6_addr = in6addr_loopback;
  base::Status second = ConnectSocket(sockets->v6.get(), v6, base::Cat("[::1]:", port), context.WithTimeout(kEach));
  if (second) return std::move(sockets->v6);
  return Fail(second.error().code, first.error().message, "; ", second.error().message);
}

}  // namespace berth::sandbox
