#include "tests/bench/blob_server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "image/media_type.h"

namespace berth::bench {
namespace {

bool SendText(int fd, const std::string& text) {
  return send(fd, text.data(), text.size(), MSG_NOSIGNAL | MSG_MORE) == static_cast<ssize_t>(text.size());
}

bool SendFile(int fd, int file, size_t size) {
  off_t at = 0;
  while (static_cast<size_t>(at) < size) {
    if (sendfile(fd, file, &at, size - static_cast<size_t>(at)) <= 0) return false;
  }
  const int now = 0;  // what MSG_MORE held back goes out
  setsockopt(fd, IPPROTO_TCP, TCP_CORK, &now, sizeof now);
  return true;
}

// "GET /v2/name/manifests/tag HTTP/1.1"
bool Answer(int fd, const base::Path& layout, const std::string& head) {
  const bool only_head = head.starts_with("HEAD ");
  const size_t start = head.find(' ') + 1;
  const std::string path = head.substr(start, head.find_first_of(" ?", start) - start);
  const std::string name = path.substr(path.rfind('/') + 1);
  const bool manifest = path.find("/manifests/") != std::string::npos;
  const bool tag = !name.starts_with("sha256:");
  const base::Path file = tag ? layout / "index.json" : layout / "blobs/sha256" / name.substr(7);
  const auto opened = base::Open(file, O_RDONLY);
  struct stat info {};
  if (!opened || fstat(opened->get(), &info) != 0) {
    return SendText(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") && SendFile(fd, -1, 0);
  }
  std::string headers = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(info.st_size) + "\r\nContent-Type: ";
  headers += !manifest ? "application/octet-stream"
             : tag     ? std::string(image::kOciIndex)
                       : std::string(image::kOciManifest);
  return SendText(fd, headers + "\r\n\r\n") &&
         SendFile(fd, opened->get(), only_head ? 0 : static_cast<size_t>(info.st_size));
}

void Serve(int raw, const base::Path& layout) {
  const base::UniqueFd fd(raw);
  std::string buffer;
  char piece[4096];
  while (true) {
    const size_t end = buffer.find("\r\n\r\n");
    if (end != std::string::npos) {
      if (!Answer(fd.get(), layout, buffer.substr(0, end))) return;
      buffer.erase(0, end + 4);
      continue;
    }
    const ssize_t got = recv(fd.get(), piece, sizeof piece, 0);
    if (got <= 0) return;
    buffer.append(piece, static_cast<size_t>(got));
  }
}

}  // namespace

void ServeLayout(const base::Path& layout) {
  const base::UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener.get(), generic, length) != 0 || listen(listener.get(), 64) != 0) std::exit(1);
  getsockname(listener.get(), generic, &length);
  std::printf("%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  while (true) {
    const int fd = accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) std::thread(Serve, fd, layout).detach();
  }
}

}  // namespace berth::bench
