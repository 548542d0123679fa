#include "tests/bench/relay.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <thread>
#include <vector>

#include "base/file.h"
#include "spdy/connection.h"

namespace berth::bench {
namespace {

constexpr size_t kPiece = 256 << 10;
constexpr int kPipe = 1 << 20;
constexpr int kSendBuffer = 256 << 10;  // as the daemon's

base::Status Connect(base::UniqueFd& client, base::UniqueFd& server) {
  const base::UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  client.Reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (bind(listener.get(), generic, size) != 0 || listen(listener.get(), 1) != 0 ||
      getsockname(listener.get(), generic, &size) != 0 || connect(client.get(), generic, size) != 0)
    return base::FailErrno(errno, "connect");
  server.Reset(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!server) return base::FailErrno(errno, "accept");
  setsockopt(server.get(), SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
  return {};
}

base::Status WriteFrame(int fd, std::string_view data) {
  char head[spdy::kHeadSize];
  spdy::DataHead(1, 0, static_cast<uint32_t>(data.size()), head);
  iovec parts[2] = {{head, sizeof head}, {const_cast<char*>(data.data()), data.size()}};
  const ssize_t sent = writev(fd, parts, 2);
  if (sent < static_cast<ssize_t>(sizeof head)) return base::FailErrno(errno, "write");
  return base::WriteAll(fd, data.substr(static_cast<size_t>(sent) - sizeof head), "socket");
}

base::Status Output(int pipe, int socket) {
  const auto piece = std::make_unique_for_overwrite<char[]>(kPiece);
  ssize_t got = 0;
  while ((got = read(pipe, piece.get(), kPiece)) > 0) {
    for (std::string_view rest(piece.get(), static_cast<size_t>(got)); !rest.empty();) {
      RETURN_IF_ERROR(WriteFrame(socket, rest.substr(0, spdy::kMaxData)));
      rest.remove_prefix(std::min(rest.size(), spdy::kMaxData));
    }
  }
  if (got < 0) return base::FailErrno(errno, "read");
  return {};
}

base::Status Input(int pipe, int socket, size_t total) {
  for (size_t frames = total / spdy::kMaxData; frames > 0; --frames) {
    char head[spdy::kHeadSize];
    if (recv(socket, head, sizeof head, MSG_WAITALL) != static_cast<ssize_t>(sizeof head))
      return base::FailErrno(errno, "receive");
    for (size_t left = spdy::kMaxData; left > 0;) {
      const ssize_t moved = splice(socket, nullptr, pipe, nullptr, left, SPLICE_F_MOVE);
      if (moved <= 0) return base::FailErrno(errno, "splice");
      left -= static_cast<size_t>(moved);
    }
  }
  return {};
}

}  // namespace

base::Status ThroughRelay(base::UniqueFd pipe, bool out, size_t total) {
  base::UniqueFd client;
  base::UniqueFd server;
  RETURN_IF_ERROR(Connect(client, server));
  (void)fcntl(pipe.get(), F_SETPIPE_SZ, kPipe);
  base::Status relayed;
  std::thread relay([&] {
    relayed = out ? Output(pipe.get(), server.get()) : Input(pipe.get(), server.get(), total);
    pipe.Reset();
    server.Reset();
  });
  base::Status moved;
  if (out) {
    const auto piece = std::make_unique_for_overwrite<char[]>(kPiece);
    while (read(client.get(), piece.get(), kPiece) > 0) {
    }
  } else {
    const std::string data(spdy::kMaxData, 'x');
    for (size_t left = total; left > 0 && moved; left -= data.size()) moved = WriteFrame(client.get(), data);
  }
  client.Reset();
  relay.join();
  RETURN_IF_ERROR(std::move(relayed));
  return moved;
}

}  // namespace berth::bench
