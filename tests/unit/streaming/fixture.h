// A streaming server with a small world behind it: processes of this machine, one end of a socket pair as a container's
// monitor, ports of the loopback. And a client that speaks SPDY.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>

#include "base/guarded.h"
#include "base/strings.h"
#include "server/streaming/server.h"
#include "spdy/connection.h"
#include "tests/unit/streaming/local_process.h"

namespace berth::streaming {

namespace asio = boost::asio;
using asio::ip::tcp;

// One HTTP exchange by hand: connects, sends, reads a response's head.
struct Upgrade {
  std::string head;  // "HTTP/1.1 101 ...", headers, empty line
  std::string rest;  // what came behind it
  std::optional<tcp::socket> socket;
  int status() const { return head.size() > 12 ? std::stoi(head.substr(9, 3)) : 0; }
};

// Speaks SPDY to the server; its loop is run by RunUntil.
class SpdyClient : public spdy::ConnectionUser, public std::enable_shared_from_this<SpdyClient> {
 public:
  explicit SpdyClient(tcp::socket socket) {
    connection =
        std::make_shared<spdy::Connection>(std::make_unique<spdy::SocketTransport>(spdy::Socket(std::move(socket))),
                                           spdy::Connection::Options{.role = spdy::Connection::Role::kClient});
  }
  void OnStream(uint32_t, const spdy::Headers&, bool) override {}
  void OnReply(uint32_t stream) override { replied.push_back(stream); }
  void OnData(uint32_t stream, std::string_view data) override {
    received += data.size();
    if (keeps) text[stream] += data;
  }
  void OnFin(uint32_t stream) override { order.push_back(base::Cat("fin ", stream)); }
  void OnReset(uint32_t stream) override { order.push_back(base::Cat("reset ", stream)); }
  void OnClosed(const base::Status&) override { closed = true; }
  bool Ended(uint32_t stream) const {
    for (const std::string& entry : order) {
      if (entry == base::Cat("fin ", stream) || entry == base::Cat("reset ", stream)) return true;
    }
    return false;
  }

  std::shared_ptr<spdy::Connection> connection;
  std::vector<uint32_t> replied;
  std::map<uint32_t, std::string> text;
  std::vector<std::string> order;  // how streams ended
  size_t received = 0;
  bool keeps = true;
  bool closed = false;
};

class StreamingTest : public testing::Test {
 protected:
  void SetUp() override { StartServer(); }
  void TearDown() override {
    // As the daemon does: what serves hands on no more work, then the workers end.
    if (server_) server_->Stop();
    work_.reset();
    // A client and its connection have each other until that is closed.
    for (const auto& client : clients_) {
      if (const auto open = client.lock()) open->connection->Abort({});
    }
  }

  void StartServer() {
    options_.work = work_.get();
    options_.callbacks.exec = [](const ExecOrder& order, const base::Context&) { return LocalProcess::Start(order); };
    options_.callbacks.attach = [this](const AttachOrder& order, const base::Context&) { return attach_(order); };
    options_.callbacks.connect = [this](const std::string& pod, uint16_t port, const base::Context&) {
      return connect_(pod, port);
    };
    options_.callbacks.pod_is_ready = [this](const std::string&) { return pod_is_ready_(); };
    auto server = Server::Start(options_);
    ASSERT_TRUE(server) << server.error().message;
    server_ = *std::move(server);
  }

  std::string Url(Order order) {
    auto url = server_->UrlFor(std::move(order));
    EXPECT_TRUE(url) << url.error().message;
    return url ? *url : "";
  }
  static ExecOrder Sh(const std::string& script, Streams streams = {.output = true, .errors = true}) {
    return {.container = "c", .command = {"/bin/sh", "-c", script}, .streams = streams};
  }

  static uint16_t PortOf(const std::string& url) {
    return static_cast<uint16_t>(std::stoi(url.substr(url.find(':', 6) + 1)));
  }
  static std::string PathOf(const std::string& url) { return url.substr(url.find('/', 8)); }

  Upgrade Send(const std::string& url, const std::string& method, const std::string& headers) {
    Upgrade out;
    out.socket.emplace(loop_);
    out.socket->connect({asio::ip::make_address("127.0.0.1"), PortOf(url)});
    asio::write(*out.socket,
                asio::buffer(base::Cat(method, " ", PathOf(url), " HTTP/1.1\r\nHost: x\r\n", headers, "\r\n")));
    std::string text;
    boost::system::error_code error;
    const size_t size = asio::read_until(*out.socket, asio::dynamic_buffer(text), "\r\n\r\n", error);
    out.head = text.substr(0, size);
    out.rest = text.substr(size);
    return out;
  }
  static std::string SpdyHeaders(const std::string& protocols = "v4.channel.k8s.io") {
    return "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\nX-Stream-Protocol-Version: " + protocols +
           "\r\n";
  }
  std::shared_ptr<SpdyClient> Open(const std::string& url, const std::string& protocols = "v4.channel.k8s.io") {
    Upgrade upgrade = Send(url, "POST", SpdyHeaders(protocols));
    EXPECT_EQ(upgrade.status(), 101) << upgrade.head;
    EXPECT_EQ(upgrade.rest, "");
    auto client = std::make_shared<SpdyClient>(*std::move(upgrade.socket));
    client->connection->Start(client);
    clients_.push_back(client);
    return client;
  }
  bool RunUntil(const std::function<bool()>& done) {
    const auto limit = base::Monotonic::now() + std::chrono::seconds(30);
    while (!done()) {
      loop_.restart();
      if (loop_.run_one_until(std::min(limit, base::Monotonic::now() + std::chrono::milliseconds(1))) == 0 &&
          base::Monotonic::now() >= limit) {
        return false;
      }
    }
    return true;
  }

  // Until the client can send no more.
  bool Stall(SpdyClient& client) {
    size_t queued = 0;
    int still = 0;
    return RunUntil([&] {
      const size_t now = client.connection->queued();
      still = now == queued ? still + 1 : 0;
      queued = now;
      return still > 500;
    });
  }
  // Whether the other end of a socket pair is closed, whatever is unread here.
  static bool IsClosed(int fd) {
    pollfd end{.fd = fd, .events = 0, .revents = 0};
    return poll(&end, 1, 0) == 1 && (end.revents & POLLHUP) != 0;
  }

  asio::io_context loop_;
  std::vector<std::weak_ptr<SpdyClient>> clients_;
  std::unique_ptr<base::Executor> work_ =
      std::make_unique<base::Executor>(base::Executor::Options{.name = "work", .threads = 8});
  Server::Options options_;
  std::function<base::Result<Attachment>(const AttachOrder&)> attach_;
  std::function<base::Result<base::UniqueFd>(const std::string&, uint16_t)> connect_;
  std::function<bool()> pod_is_ready_ = [] { return true; };  // on the server's thread
  std::unique_ptr<Server> server_;
};

}  // namespace berth::streaming
