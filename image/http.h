// HTTP as registries need it: our own redirects and credentials rules, bounded bodies, stalls judged by rate, prompt
// cancellation.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/context.h"
#include "base/file.h"
#include "base/guarded.h"
#include "base/result.h"
#include "image/host_settings.h"

namespace berth::image {

// The parts of an absolute http or https URL that decide where a secret may go.
struct Origin {
  std::string scheme;  // lower-case
  std::string host;    // lower-case; IPv6 in brackets
  int port = 0;        // never 0 once parsed
  static base::Result<Origin> Parse(std::string_view url);
  bool loopback() const;  // localhost, 127.0.0.0/8, ::1
  bool operator==(const Origin&) const = default;
};

struct HttpOptions {
  // Folders that hold <host:port>/ folders with *.crt and *.ca (trusted besides the system's) and *.cert with *.key
  // (ours). One with a hosts.toml is left to that.
  std::vector<base::Path> certificate_folders;
  std::chrono::milliseconds connect_timeout{15'000};  // name, connection and TLS together
  // A transfer that brings fewer than stall_bytes in stall_window, our own time not counted, is given up.
  std::chrono::milliseconds stall_window{60'000};
  int64_t stall_bytes = 1024;
};

struct HttpResponse {
  int status = 0;
  std::string url;                                  // the one that answered, after redirects
  std::multimap<std::string, std::string> headers;  // names lower-case
  std::string body;                                 // without a sink, or of an error (then cut at 64 KiB)

  std::string Header(std::string_view name) const;  // the first; empty when absent
  std::vector<std::string> Headers(std::string_view name) const;
};

struct HttpRequest {
  std::string method = "GET";  // GET, HEAD or POST
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;  // without Authorization
  std::string authorization;  // sent to the URL's origin alone, never after a redirect to another
  std::string body;           // of a POST
  bool insecure = false;      // plain HTTP and unverified TLS are allowed; loopback may always be plain HTTP
  // For the URL's origin alone: a redirect to another is spoken to as that one's certificate folder says. May be null.
  std::shared_ptr<const HostSettings> settings;
  size_t body_limit = 1 << 20;  // of a 2xx body that is kept; more is kResourceExhausted
  // With a sink, the body of a 2xx answer goes there in pieces instead. Its error ends the transfer and is returned.
  std::function<base::Status(std::span<const uint8_t>)> sink;
  // Called once before the first byte reaches the sink. Its error ends the transfer and is returned.
  std::function<base::Status(const HttpResponse&)> on_response;
};

// Thread-safe: each call runs on a connection of its own, kept for the next. Meant to live as long as one pull.
class HttpClient {
 public:
  explicit HttpClient(HttpOptions options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Follows up to 10 redirects, none from https to http. Any HTTP status is a response, not an error. kUnavailable when
  // no answer came or it broke off (refused, name, time-out, reset, stall): worth another try. kFailedPrecondition when
  // TLS or a rule of ours refused. Blocks; ends within a second of the context's end. Errors name host and path, not
  // the query.
  base::Result<HttpResponse> Do(const HttpRequest& request, const base::Context& context);

 private:
  class Session;
  base::Result<HttpResponse> Once(const HttpRequest& request, const base::Context& context);

  const HttpOptions options_;
  base::Guarded<std::vector<std::unique_ptr<Session>>> idle_;
};

// Percent-encodes all but RFC 3986's unreserved characters.
std::string UrlEncode(std::string_view text);
// A URL without user information, query and fragment: what may be shown.
std::string ShownUrl(std::string_view url);
// RFC 3986, section 5: what `location` means in an answer from `base`. Empty when it is no URL.
std::string ResolveUrl(std::string_view base, std::string_view location);

}  // namespace berth::image
