#include "tests/e2e/harness/collector.h"

#include <sys/socket.h>

#include "base/strings.h"

namespace berth::e2e {

base::Result<std::unique_ptr<Collector>> Collector::Start(int status) {
  auto out = std::make_unique<Collector>();
  out->status_ = status;
  ASSIGN_OR_RETURN(out->listener_,
                   Listener::Start({.serve = [collector = out.get()](int fd) { collector->Serve(fd); }}));
  return out;
}

std::string Collector::endpoint() const {
  return base::Cat("http://127.0.0.1:", listener_->port(), "/v1/traces");
}

// One request for each connection.
void Collector::Serve(int fd) {
  std::string text;
  size_t whole = std::string::npos;
  while (text.size() < whole) {
    char buffer[16384];
    const ssize_t count = ::recv(fd, buffer, sizeof buffer, 0);
    if (count <= 0) return;
    text.append(buffer, static_cast<size_t>(count));
    const size_t head = text.find("\r\n\r\n");
    if (head == std::string::npos) continue;
    const std::string lower = base::Lower(text.substr(0, head));
    const size_t length = lower.find("content-length: ");
    if (length == std::string::npos) return;
    whole = head + 4 + std::stoul(lower.substr(length + 16));
  }
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back(std::move(text));
  }
  const std::string answer = base::Cat(
      "HTTP/1.1 ", status_, " X\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
  (void)::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
}

std::vector<std::string> Collector::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

std::vector<nlohmann::json> Collector::spans() const {
  std::vector<nlohmann::json> out;
  for (const std::string& request : requests()) {
    const auto body = nlohmann::json::parse(request.substr(request.find("\r\n\r\n") + 4));
    for (const auto& resource : body.at("resourceSpans")) {
      for (const auto& scope : resource.at("scopeSpans")) {
        for (const auto& span : scope.at("spans")) out.push_back(span);
      }
    }
  }
  return out;
}

}  // namespace berth::e2e
