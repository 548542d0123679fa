#include "cli/stream_client.h"

#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/write.hpp>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "json/json.h"

namespace berth::cli {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using base::Code;
using base::Fail;
using boost::system::error_code;

constexpr size_t kMaxHead = 64 << 10;

struct Url {
  bool tls = false;
  tcp::endpoint endpoint;
  std::string host;  // with the port
  std::string path;
};

base::Result<Url> ParseUrl(const std::string& text) {
  Url out{.tls = text.starts_with("https://")};
  const auto bad = [&] { return Fail(Code::kInternal, "the daemon named a URL that cannot be used: ", text); };
  if (!out.tls && !text.starts_with("http://")) return bad();
  const size_t begin = out.tls ? 8 : 7;
  const size_t slash = text.find('/', begin);
  if (slash == std::string::npos) return bad();
  out.host = text.substr(begin, slash - begin);
  out.path = text.substr(slash);
  const size_t colon = out.host.rfind(':');
  const auto port = colon == std::string::npos ? std::nullopt : base::ParseInt(out.host.substr(colon + 1));
  if (!port || *port < 1 || *port > UINT16_MAX) return bad();
  std::string address = out.host.substr(0, colon);
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  error_code error;
  out.endpoint = tcp::endpoint(asio::ip::make_address(address, error), static_cast<uint16_t>(*port));
  if (error) return bad();
  return out;
}

// The response's head; what came behind it goes back into the socket. `stream` is the TCP or TLS stream itself.
template <typename Stream>
base::Result<std::string> Exchange(Stream& stream, const std::string& request, std::string& rest) {
  error_code error;
  asio::write(stream, asio::buffer(request), error);
  std::string text;
  size_t size = 0;
  if (!error) size = asio::read_until(stream, asio::dynamic_buffer(text, kMaxHead), "\r\n\r\n", error);
  if (error) return Fail(Code::kUnavailable, "the streaming server gave no answer: ", error.message());
  rest = text.substr(size);
  text.resize(size);
  return text;
}

}  // namespace

base::Result<std::shared_ptr<spdy::Connection>> OpenStreams(asio::io_context& loop, const std::string& url,
                                                            const std::string& protocol) {
  ASSIGN_OR_RETURN(const Url target, ParseUrl(url));
  tcp::socket tcp_socket(loop);
  error_code error;
  tcp_socket.connect(target.endpoint, error);
  if (error) return Fail(Code::kUnavailable, "connect to ", target.host, ": ", error.message());
  tcp_socket.set_option(tcp::no_delay(true), error);
  const std::string request = base::Cat(
      "POST ", target.path, " HTTP/1.1\r\nHost: ", target.host,
      "\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\nX-Stream-Protocol-Version: ", protocol,
      "\r\n\r\n");
  std::unique_ptr<spdy::Socket> socket;
  std::string head;
  std::string rest;
  if (target.tls) {
    asio::ssl::context context(asio::ssl::context::tls_client);
    auto tls = std::make_unique<spdy::Socket::Tls>(std::move(tcp_socket), context);
    tls->handshake(asio::ssl::stream_base::client, error);
    if (error) return Fail(Code::kUnavailable, "TLS with ", target.host, ": ", error.message());
    ASSIGN_OR_RETURN(head, Exchange(*tls, request, rest));
    socket = std::make_unique<spdy::Socket>(std::move(tls));
  } else {
    ASSIGN_OR_RETURN(head, Exchange(tcp_socket, request, rest));
    socket = std::make_unique<spdy::Socket>(std::move(tcp_socket));
  }
  if (!head.starts_with("HTTP/1.1 101 ")) {
    return Fail(Code::kUnavailable, "the streaming server refused: ", head.substr(0, head.find('\r')), ": ",
                base::Trim(rest));
  }
  socket->PutBack(std::move(rest));
  return std::make_shared<spdy::Connection>(std::make_unique<spdy::SocketTransport>(std::move(*socket)),
                                            spdy::Connection::Options{.role = spdy::Connection::Role::kClient});
}

base::Result<int> CodeOfStatus(const std::string& text) {
  ASSIGN_OR_RETURN(const nlohmann::json status, json::Parse(text, "the command's status"));
  json::Reader reader(status, "the command's status");
  const std::string word = reader.Text("status");
  const std::string reason = reader.Text("reason");
  const std::string message = reader.Text("message");
  const nlohmann::json& details = reader.Member("details");
  RETURN_IF_ERROR(reader.status());
  if (word == "Success") return 0;
  if (reason != "NonZeroExitCode") return Fail(Code::kUnknown, message.empty() ? text : message);
  ASSIGN_OR_RETURN(const nlohmann::json* causes, json::Array(details, "causes", "details"));
  if (causes != nullptr) {
    for (const nlohmann::json& cause : *causes) {
      ASSIGN_OR_RETURN(const std::string kind, json::String(cause, "reason", "cause"));
      ASSIGN_OR_RETURN(const std::string value, json::String(cause, "message", "cause"));
      const auto code = base::ParseInt(value);
      if (kind == "ExitCode" && code && *code >= 0 && *code <= 255) return static_cast<int>(*code);
    }
  }
  return Fail(Code::kInternal, "the command's status has no exit code: ", text);
}

}  // namespace berth::cli
