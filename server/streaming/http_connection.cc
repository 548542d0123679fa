#include "server/streaming/http_connection.h"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include <boost/asio/write.hpp>

#include "base/strings.h"
#include "server/streaming/attach_session.h"
#include "server/streaming/port_forward.h"
#include "server/streaming/port_forward_channels.h"
#include "server/streaming/spdy_channels.h"
#include "server/streaming/websocket_channels.h"

namespace berth::streaming {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast::http;
using boost::system::error_code;

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

class HttpConnection : public http::Exchange {
 public:
  HttpConnection(const HttpParts& parts, spdy::Socket socket)
      : Exchange(std::move(socket), parts.creation), parts_(parts) {}

 private:
  void Serve() override {
    if (request_->method() != beast::verb::get && request_->method() != beast::verb::post) {
      return Refuse(beast::status::method_not_allowed, "only GET and POST are served", {{"Allow", "GET, POST"}});
    }
    const auto route = Route(View(request_->target()));
    auto order = route ? parts_.tokens.Take(route->second) : std::nullopt;
    if (!order || order->index() != route->first)
      return Refuse(beast::status::not_found, "no such stream: its URL works once and for a minute");
    // Clients tell of a refused request at once, and wait for long on a connection that ends behind its upgrade.
    const auto* const forward = std::get_if<ForwardOrder>(&*order);
    if (forward != nullptr && !parts_.session.callbacks.pod_is_ready(forward->pod))
      return Refuse(beast::status::not_found, base::Cat("pod ", forward->pod, " has ended"));
    const Names connection = Values(*request_, "Connection");
    if (EqualsAnyCase(View((*request_)[beast::field::upgrade]), "websocket") && AnyContains(connection, "upgrade")) {
      return UpgradeToWebSocket(*std::move(order));
    }
    UpgradeToSpdy(*std::move(order));
  }

  void UpgradeToSpdy(Order order) {
    const Names offered = Values(*request_, kVersionHeader);
    if (offered.empty())
      return Refuse(beast::status::bad_request, base::Cat("upgrade request required: ", kVersionHeader, " is missing"));
    const auto protocol = FirstSupported(offered, SpdyProtocols(order));
    if (!protocol) {
      http::Headers headers;
      for (const std::string& name : SpdyProtocols(order))
        headers.emplace_back("X-Accepted-Stream-Protocol-Versions", name);
      return Refuse(beast::status::forbidden, "none of the offered protocols is supported", headers);
    }
    if (!AnyContains(Values(*request_, "Connection"), "upgrade") ||
        !AnyContains(Values(*request_, "Upgrade"), "spdy/3.1")) {
      return Refuse(beast::status::bad_request, "unable to upgrade: SPDY/3.1 is not asked for");
    }
    answer_ = base::Cat("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n",
                        kVersionHeader, ": ", *protocol, "\r\n\r\n");
    asio::async_write(socket_, asio::buffer(answer_),
                      [self = Self(), order = std::move(order), version = VersionOf(*protocol)](const error_code& error,
                                                                                                size_t) mutable {
                        self->timer_.cancel();
                        if (error) return;
                        self->socket_.PutBack(self->TakeBuffer());
                        self->StartSpdy(std::make_unique<spdy::SocketTransport>(std::move(self->socket_)),
                                        std::move(order), version);
                      });
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
    if (!offered.empty() && !protocol) return Refuse(beast::status::forbidden, "");
    const std::string name = protocol.value_or("");
    socket_.PutBack(TakeBuffer());
    const auto then = [self = Self(), order = std::move(order), name](const std::shared_ptr<WebSocket>& socket) {
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

  // Serve's, as what it is here.
  std::shared_ptr<HttpConnection> Self() { return std::static_pointer_cast<HttpConnection>(shared_from_this()); }

  const HttpParts& parts_;
  std::string answer_;
};

}  // namespace

std::weak_ptr<http::Exchange> ServeHttp(const HttpParts& parts, spdy::Socket socket) {
  const auto connection = std::make_shared<HttpConnection>(parts, std::move(socket));
  connection->Start();
  return connection;
}

}  // namespace berth::streaming
