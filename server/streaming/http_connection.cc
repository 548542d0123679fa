#include "server/streaming/http_connection.h"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include <boost/asio/ssl/stream_base.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>

#include "base/strings.h"
#include "server/streaming/attach_session.h"
#include "server/streaming/port_forward.h"
#include "server/streaming/port_forward_channels.h"
#include "server/streaming/spdy_channels.h"
#include "server/streaming/websocket_channels.h"

namespace berth::streaming {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

// The kubelet passes on what its own client sent, cookies and tokens included.
constexpr uint32_t kMaxHead = 128 << 10;
constexpr auto kLinger = std::chrono::seconds(2);
constexpr std::string_view kVersionHeader = "X-Stream-Protocol-Version";
constexpr std::string_view kTunnel = "SPDY/3.1+portforward.k8s.io";

using Names = std::vector<std::string>;

const Names& SpdyProtocols(const Order& order) {
  static const Names channels = {"v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"};
  static const Names forward = {"portforward.k8s.io"};
  return std::holds_alternative<ForwardOrder>(order) ? forward : channels;
}

const Names& WebSocketProtocols(const Order& order) {
  static const Names channels = {"v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io",
                                 "base64.channel.k8s.io"};
  static const Names forward = {std::string(kTunnel), "v4.channel.k8s.io", "v4.base64.channel.k8s.io"};
  return std::holds_alternative<ForwardOrder>(order) ? forward : channels;
}

int VersionOf(std::string_view protocol) {
  return protocol.size() > 1 && protocol[0] == 'v' ? protocol[1] - '0' : 1;
}

bool EqualsAnyCase(std::string_view a, std::string_view b) {
  return base::Lower(a) == base::Lower(b);
}

std::string_view View(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

// The values of all headers of one name, those between commas too.
Names Values(const HttpRequest& request, std::string_view name) {
  Names out;
  for (const auto& field : request) {
    if (!EqualsAnyCase(View(field.name_string()), name)) continue;
    for (const std::string_view value : base::Split(View(field.value()), ',')) {
      if (const std::string_view trimmed = base::Trim(value); !trimmed.empty()) out.emplace_back(trimmed);
    }
  }
  return out;
}

bool AnyContains(const Names& values, std::string_view text) {
  return std::ranges::any_of(
      values, [&](const std::string& value) { return base::Lower(value).find(text) != std::string::npos; });
}

std::optional<std::string> FirstSupported(const Names& offered, const Names& supported) {
  for (const std::string& name : offered) {
    if (std::ranges::find(supported, name) != supported.end()) return name;
  }
  return std::nullopt;
}

// Which kind of order a path may ask for: the index in Order, and the token.
std::optional<std::pair<size_t, std::string_view>> Route(std::string_view target) {
  constexpr std::array<std::string_view, 3> kFolders = {"/exec/", "/attach/", "/portforward/"};
  target = target.substr(0, target.find('?'));
  for (size_t i = 0; i < kFolders.size(); ++i) {
    if (target.starts_with(kFolders[i])) return std::pair(i, target.substr(kFolders[i].size()));
  }
  return std::nullopt;
}

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(const HttpParts& parts, spdy::Socket socket)
      : parts_(parts), socket_(std::move(socket)), timer_(parts.session.loop) {
    parser_.header_limit(kMaxHead);
  }

  void Start() {
    timer_.expires_after(parts_.creation);
    timer_.async_wait([weak = weak_from_this()](const error_code& error) {
      const auto self = weak.lock();
      if (!error && self) self->socket_.Close();
    });
    if (!socket_.tls()) return ReadHead();
    socket_.tls()->async_handshake(asio::ssl::stream_base::server,
                                   [self = shared_from_this()](const error_code& error) {
                                     if (!error) self->ReadHead();
                                   });
  }

 private:
  void ReadHead() {
    http::async_read_header(socket_, buffer_, parser_, [self = shared_from_this()](const error_code& error, size_t) {
      if (error == http::error::header_limit)
        return self->Refuse(http::status::request_header_fields_too_large, "the request's head is too long");
      if (!error) self->Serve();
    });
  }

  void Serve() {
    request_ = std::make_shared<HttpRequest>(parser_.release());
    if (request_->method() != http::verb::get && request_->method() != http::verb::post) {
      headers_ = {{"Allow", "GET, POST"}};
      return Refuse(http::status::method_not_allowed, "only GET and POST are served");
    }
    const auto route = Route(View(request_->target()));
    auto order = route ? parts_.tokens.Take(route->second) : std::nullopt;
    if (!order || order->index() != route->first)
      return Refuse(http::status::not_found, "no such stream: its URL works once and for a minute");
    const Names connection = Values(*request_, "Connection");
    if (EqualsAnyCase(View((*request_)[http::field::upgrade]), "websocket") && AnyContains(connection, "upgrade")) {
      return UpgradeToWebSocket(*std::move(order));
    }
    UpgradeToSpdy(*std::move(order));
  }

  void UpgradeToSpdy(Order order) {
    const Names offered = Values(*request_, kVersionHeader);
    if (offered.empty())
      return Refuse(http::status::bad_request, base::Cat("upgrade request required: ", kVersionHeader, " is missing"));
    const auto protocol = FirstSupported(offered, SpdyProtocols(order));
    if (!protocol) {
      for (const std::string& name : SpdyProtocols(order))
        headers_.emplace_back("X-Accepted-Stream-Protocol-Versions", name);
      return Refuse(http::status::forbidden, "none of the offered protocols is supported");
    }
    if (!AnyContains(Values(*request_, "Connection"), "upgrade") ||
        !AnyContains(Values(*request_, "Upgrade"), "spdy/3.1")) {
      return Refuse(http::status::bad_request, "unable to upgrade: SPDY/3.1 is not asked for");
    }
    answer_ = base::Cat("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n",
                        kVersionHeader, ": ", *protocol, "\r\n\r\n");
    asio::async_write(socket_, asio::buffer(answer_),
                      [self = shared_from_this(), order = std::move(order), version = VersionOf(*protocol)](
                          const error_code& error, size_t) mutable {
                        self->timer_.cancel();
                        if (error) return;
                        self->socket_.PutBack(self->TakeBuffer());
                        self->StartSpdy(std::make_unique<spdy::SocketTransport>(std::move(self->socket_)),
                                        std::move(order), version);
                      });
  }

  // What came behind the request's head belongs to what follows.
  std::string TakeBuffer() {
    std::string out = boost::beast::buffers_to_string(buffer_.data());
    buffer_.consume(buffer_.size());
    return out;
  }

  void StartSpdy(std::unique_ptr<spdy::Transport> transport, Order order, int version) {
    const auto connection =
        std::make_shared<spdy::Connection>(std::move(transport), spdy::Connection::Options{.idle = parts_.idle});
    if (auto* forward = std::get_if<ForwardOrder>(&order)) {
      const std::string pod = forward->pod;
      const auto session =
          std::make_shared<PortForwardSession>(parts_.session, std::move(*forward), connection, parts_.creation);
      session->Start();
      return parts_.on_session(session, pod);
    }
    const auto channels = std::make_shared<SpdyChannels>(connection, StreamsOf(order), version);
    channels->Start(MakeSession(std::move(order), channels), parts_.creation, parts_.session.loop);
  }

  static const Streams& StreamsOf(const Order& order) {
    const auto* exec = std::get_if<ExecOrder>(&order);
    return exec != nullptr ? exec->streams : std::get<AttachOrder>(order).streams;
  }

  std::shared_ptr<ChannelUser> MakeSession(Order order, std::shared_ptr<Channels> channels) {
    if (auto* exec = std::get_if<ExecOrder>(&order)) {
      const auto session = std::make_shared<ExecSession>(parts_.session, std::move(*exec), std::move(channels));
      parts_.on_session(session, "");
      return session;
    }
    const auto session =
        std::make_shared<AttachSession>(parts_.session, std::get<AttachOrder>(std::move(order)), std::move(channels));
    parts_.on_session(session, "");
    return session;
  }

  void UpgradeToWebSocket(Order order) {
    const Names offered = Values(*request_, "Sec-WebSocket-Protocol");
    const auto protocol = FirstSupported(offered, WebSocketProtocols(order));
    if (!offered.empty() && !protocol) return Refuse(http::status::forbidden, "");
    const std::string name = protocol.value_or("");
    socket_.PutBack(TakeBuffer());
    const auto then = [self = shared_from_this(), order = std::move(order),
                       name](const std::shared_ptr<WebSocket>& socket) {
      self->timer_.cancel();
      if (socket) self->StartWebSocket(socket, order, name);
    };
    AcceptWebSocket(std::move(socket_), request_, name, parts_.idle, then);
  }

  void StartWebSocket(const std::shared_ptr<WebSocket>& socket, const Order& order, const std::string& name) {
    if (name == kTunnel) return StartSpdy(MakeTunnel(socket), order, 1);
    const ChannelProtocol protocol{.version = VersionOf(name), .base64 = name.find("base64") != std::string::npos};
    if (const auto* forward = std::get_if<ForwardOrder>(&order)) {
      // Without a port in the request there is nothing to carry.
      if (forward->ports.empty() || forward->ports.size() > 4) return socket->AsyncClose([socket] {});
      const auto session = std::make_shared<PortForwardChannels>(parts_.session, *forward, socket, protocol);
      session->Start();
      return parts_.on_session(session, forward->pod);
    }
    const auto channels = std::make_shared<WebSocketChannels>(socket, StreamsOf(order), protocol);
    channels->Start(MakeSession(order, channels));
  }

  void Refuse(http::status status, std::string_view text) {
    auto answer = std::make_shared<http::response<http::string_body>>(status, 11);
    for (const auto& [name, value] : headers_) answer->insert(name, value);
    answer->set(http::field::content_type, "text/plain; charset=utf-8");
    answer->set(http::field::connection, "close");
    answer->body() = text.empty() ? std::string() : std::string(text) + "\n";
    answer->prepare_payload();
    http::async_write(socket_, *answer, [self = shared_from_this(), answer](const error_code& error, size_t) {
      if (error) return;
      self->timer_.expires_after(kLinger);
      self->timer_.async_wait([self](const error_code& cancelled) {
        if (!cancelled) self->socket_.Close();
      });
      self->socket_.AsyncShutdownSend([self] {});
      self->Discard();
    });
  }

  // Until the client has closed: closing first would throw away what it has not read yet.
  void Discard() {
    socket_.async_read_some(asio::buffer(discarded_), [self = shared_from_this()](const error_code& error, size_t) {
      if (!error) return self->Discard();
      self->timer_.cancel();
      self->socket_.Close();
    });
  }

  const HttpParts& parts_;
  spdy::Socket socket_;
  asio::steady_timer timer_;
  boost::beast::flat_buffer buffer_;
  http::request_parser<http::string_body> parser_;
  std::shared_ptr<HttpRequest> request_;
  std::vector<std::pair<std::string, std::string>> headers_;  // of a refusal
  std::string answer_;
  std::array<char, 1024> discarded_;
};

}  // namespace

void ServeHttp(const HttpParts& parts, spdy::Socket socket) {
  std::make_shared<HttpConnection>(parts, std::move(socket))->Start();
}

}  // namespace berth::streaming
