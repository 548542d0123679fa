#include "server/http/exchange.h"

#include <boost/asio/ssl/stream_base.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>

namespace berth::http {

namespace asio = boost::asio;
namespace beast = boost::beast::http;
using boost::system::error_code;

namespace {
// The kubelet passes on what its own client sent, cookies and tokens included.
constexpr uint32_t kMaxHead = 128 << 10;
constexpr auto kLinger = std::chrono::seconds(2);
}  // namespace

Exchange::Exchange(spdy::Socket socket, std::chrono::nanoseconds limit)
    : socket_(std::move(socket)), timer_(socket_.get_executor()), limit_(limit) {
  parser_.header_limit(kMaxHead);
}

void Exchange::Start() {
  timer_.expires_after(limit_);
  timer_.async_wait([weak = weak_from_this()](const error_code& error) {
    const auto self = weak.lock();
    if (!error && self) self->socket_.Close();
  });
  if (!socket_.tls()) return ReadHead();
  socket_.tls()->async_handshake(asio::ssl::stream_base::server, [self = shared_from_this()](const error_code& error) {
    if (!error) self->ReadHead();
  });
}

void Exchange::ReadHead() {
  beast::async_read_header(socket_, buffer_, parser_, [self = shared_from_this()](const error_code& error, size_t) {
    if (error == beast::error::header_limit)
      return self->Refuse(beast::status::request_header_fields_too_large, "the request's head is too long");
    if (error) return;
    self->request_ = std::make_shared<Request>(self->parser_.release());
    self->Serve();
  });
}

std::string Exchange::TakeBuffer() {
  std::string out = boost::beast::buffers_to_string(buffer_.data());
  buffer_.consume(buffer_.size());
  return out;
}

void Exchange::Refuse(beast::status status, std::string_view text, const Headers& headers) {
  Answer(status, "text/plain; charset=utf-8", text.empty() ? std::string() : std::string(text) + "\n", headers);
}

void Exchange::Answer(beast::status status, std::string_view content_type, std::string body, const Headers& headers) {
  auto answer = std::make_shared<beast::response<beast::string_body>>(status, 11);
  for (const auto& [name, value] : headers) answer->insert(name, value);
  answer->set(beast::field::content_type, boost::beast::string_view(content_type.data(), content_type.size()));
  answer->set(beast::field::connection, "close");
  answer->body() = std::move(body);
  answer->prepare_payload();
  beast::async_write(socket_, *answer, [self = shared_from_this(), answer](const error_code& error, size_t) {
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
void Exchange::Discard() {
  socket_.async_read_some(asio::buffer(discarded_), [self = shared_from_this()](const error_code& error, size_t) {
    if (!error) return self->Discard();
    self->timer_.cancel();
    self->socket_.Close();
  });
}

}  // namespace berth::http
