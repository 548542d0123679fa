#include "tests/bench/stream_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "base/strings.h"
#include "spdy/connection.h"

namespace berth::bench {

using base::Code;
using base::Fail;

namespace {
constexpr size_t kPiece = 256 << 10;
}  // namespace

base::Result<std::unique_ptr<StreamClient>> StreamClient::Open(const std::string& url) {
  auto out = std::make_unique<StreamClient>();
  const size_t colon = url.find(':', 6);
  const size_t path = url.find('/', 8);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(url.substr(colon + 1))));
  out->socket_.Reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int fd = out->socket_.get();
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return base::FailErrno(errno, "connect to ", url);
  const std::string request =
      base::Cat("POST ", url.substr(path), " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n",
                "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n");
  RETURN_IF_ERROR(base::WriteAll(fd, request, "socket"));
  std::string head;
  for (char c = 0; !head.ends_with("\r\n\r\n"); head.push_back(c)) {
    if (read(fd, &c, 1) != 1) return Fail(Code::kUnavailable, "no answer, only ", head);
  }
  if (!head.starts_with("HTTP/1.1 101")) return Fail(Code::kUnavailable, head);
  return out;
}

base::Status StreamClient::OpenStreams(const std::vector<std::string>& types) {
  uint32_t id = 1;
  for (const std::string& type : types) {
    const std::string frame = spdy::SynStream(id, 0, deflater_.Deflate({{"streamtype", type}}));
    RETURN_IF_ERROR(base::WriteAll(socket_.get(), frame, "socket"));
    id += 2;
  }
  return {};
}

base::Status StreamClient::SendAll(uint32_t stream, size_t total) {
  std::string data(spdy::kMaxData, 'x');
  char head[spdy::kHeadSize];
  spdy::DataHead(stream, 0, spdy::kMaxData, head);
  for (size_t left = total; left > 0; left -= data.size()) {
    iovec parts[2] = {{head, sizeof head}, {data.data(), data.size()}};
    const ssize_t sent = writev(socket_.get(), parts, 2);
    if (sent < static_cast<ssize_t>(sizeof head)) return base::FailErrno(errno, "write");
    const auto rest = std::string_view(data).substr(static_cast<size_t>(sent) - sizeof head);
    RETURN_IF_ERROR(base::WriteAll(socket_.get(), rest, "socket"));
  }
  spdy::DataHead(stream, spdy::kFlagFin, 0, head);
  return base::WriteAll(socket_.get(), {head, sizeof head}, "socket");
}

base::Result<size_t> StreamClient::Drain() {
  const auto piece = std::make_unique_for_overwrite<char[]>(kPiece);
  while (!over_) {
    const ssize_t got = read(socket_.get(), piece.get(), kPiece);
    if (got < 0) return base::FailErrno(errno, "read");
    if (got == 0) return Fail(Code::kUnavailable, "the server ended without a word");
    RETURN_IF_ERROR(reader_.Feed({piece.get(), static_cast<size_t>(got)}));
  }
  if (status_.find("Success") == std::string::npos) return Fail(Code::kUnknown, "the exec failed: ", status_);
  return received_;
}

base::Status StreamClient::OnControl(const spdy::Control& control) {
  over_ = over_ || control.type == spdy::FrameType::kGoAway;
  return {};
}

base::Status StreamClient::OnData(uint32_t stream, std::string_view piece, bool) {
  if (stream == 1)
    status_ += piece;
  else
    received_ += piece.size();
  return {};
}

}  // namespace berth::bench
