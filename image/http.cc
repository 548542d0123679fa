#include "image/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>

#include "base/strings.h"

namespace berth::image {
namespace {

using base::Code;
constexpr int kMaxRedirects = 10;
constexpr size_t kMaxHeaderBytes = 64 << 10;
constexpr size_t kMaxErrorBody = 64 << 10;
constexpr long kReceiveBuffer = 256 << 10;
constexpr size_t kMaxIdle = 16;

// What one exchange has got so far; libcurl's callbacks fill it.
struct Exchange {
  const HttpRequest* request = nullptr;
  HttpResponse response;
  CURL* easy = nullptr;
  size_t header_bytes = 0;
  int64_t received = 0;  // bytes of headers and body, for the stall rule
  bool announced = false;
  bool cut = false;      // an error's body that was long enough
  base::Status failure;  // why a callback ended the transfer
};

bool IsSuccess(int status) {
  return status >= 200 && status < 300;
}

void StartResponse(Exchange& exchange) {
  long status = 0;
  curl_easy_getinfo(exchange.easy, CURLINFO_RESPONSE_CODE, &status);
  exchange.response.status = static_cast<int>(status);
}

base::Status Announce(Exchange& exchange) {
  if (exchange.announced) return {};
  exchange.announced = true;
  StartResponse(exchange);
  if (!IsSuccess(exchange.response.status) || !exchange.request->on_response) return {};
  return exchange.request->on_response(exchange.response);
}

base::Status TakeBody(Exchange& exchange, std::span<const uint8_t> bytes) {
  RETURN_IF_ERROR(Announce(exchange));
  const bool success = IsSuccess(exchange.response.status);
  if (success && exchange.request->sink) return exchange.request->sink(bytes);
  std::string& body = exchange.response.body;
  const size_t limit = success ? exchange.request->body_limit : kMaxErrorBody;
  if (bytes.size() > limit - body.size()) {
    if (success) return base::Fail(Code::kResourceExhausted, "the answer is larger than ", limit, " bytes");
    bytes = bytes.first(limit - body.size());
    exchange.cut = true;
  }
  body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return {};
}

size_t OnBody(char* data, size_t, size_t count, void* user) {
  Exchange& exchange = *static_cast<Exchange*>(user);
  exchange.received += static_cast<int64_t>(count);
  exchange.failure = TakeBody(exchange, {reinterpret_cast<const uint8_t*>(data), count});
  return exchange.failure && !exchange.cut ? count : CURL_WRITEFUNC_ERROR;
}

size_t OnHeader(char* data, size_t, size_t count, void* user) {
  Exchange& exchange = *static_cast<Exchange*>(user);
  exchange.received += static_cast<int64_t>(count);
  exchange.header_bytes += count;
  if (exchange.header_bytes > kMaxHeaderBytes) {
    exchange.failure =
        base::Fail(Code::kResourceExhausted, "the answer's headers are larger than ", kMaxHeaderBytes, " bytes");
    return 0;
  }
  const std::string_view line = base::Trim({data, count});
  if (line.starts_with("HTTP/")) {
    exchange.response.headers.clear();  // those of an interim answer
  } else if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
    exchange.response.headers.emplace(base::Lower(base::Trim(line.substr(0, colon))),
                                      base::Trim(line.substr(colon + 1)));
  }
  return count;
}

Code CodeOf(CURLcode result) {
  switch (result) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return Code::kFailedPrecondition;
    case CURLE_OUT_OF_MEMORY:
      return Code::kResourceExhausted;
    default:
      return Code::kUnavailable;
  }
}

bool IsPlainValue(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c == '\t' || (static_cast<uint8_t>(c) >= ' ' && c != 0x7f); });
}

class HeaderList {
 public:
  HeaderList() = default;
  HeaderList(const HeaderList&) = delete;
  HeaderList& operator=(const HeaderList&) = delete;
  ~HeaderList() { curl_slist_free_all(list_); }
  base::Status Add(std::string_view name, std::string_view value) {
    if (!IsPlainValue(value)) return base::Fail(Code::kInvalidArgument, "header ", name, ": not allowed in a header");
    list_ = curl_slist_append(list_, base::Cat(name, ": ", value).c_str());
    return {};
  }
  curl_slist* get() const { return list_; }

 private:
  curl_slist* list_ = nullptr;
};

// Certificates that a machine's administrator has laid down for one registry.
struct HostCertificates {
  std::string authorities;  // PEM, the system's first; empty when there are none of the host's own
  std::string certificate;  // paths
  std::string key;
};

base::Status AddCertificateFiles(const base::Path& folder, std::string& own, HostCertificates& out) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, base::ListFolder(folder));
  std::ranges::sort(names);
  for (const std::string& name : names) {
    const base::Path path = folder / name;
    if (path.extension() == ".crt" || path.extension() == ".ca") {
      ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path, 1 << 20));
      own += text + "\n";
    } else if (path.extension() == ".cert" && out.certificate.empty()) {
      base::Path key = path;
      key.replace_extension(".key");
      if (!base::Exists(key))
        return base::Fail(Code::kFailedPrecondition, "client certificate ", path.string(), " has no key");
      out.certificate = path;
      out.key = key;
    }
  }
  return {};
}

base::Status AddSettings(const HostSettings& settings, std::string& own, HostCertificates& out) {
  for (const base::Path& path : settings.authorities) {
    ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path, 1 << 20));
    own += text + "\n";
  }
  // libcurl takes one; the first that is there.
  for (const ClientCertificate& client : settings.clients) {
    if (!base::Exists(client.certificate)) continue;
    out.certificate = client.certificate;
    out.key = client.key;
    return {};
  }
  if (settings.clients.empty()) return {};
  return base::Fail(Code::kFailedPrecondition, "client certificate ", settings.clients.front().certificate.native(),
                    " is not there");
}

base::Result<HostCertificates> CertificatesFor(const Origin& origin, const HostSettings* settings,
                                               const std::vector<base::Path>& folders) {
  HostCertificates out;
  std::string own;
  if (settings != nullptr) RETURN_IF_ERROR(AddSettings(*settings, own, out), "certificates of ", origin.host);
  const bool usual_port = origin.port == (origin.scheme == "https" ? 443 : 80);
  for (const base::Path& folder : folders) {
    for (const std::string& name :
         {base::Cat(origin.host, ":", origin.port), usual_port ? origin.host : std::string()}) {
      if (settings != nullptr || name.empty() || !base::Exists(folder / name) ||
          base::Exists(folder / name / "hosts.toml"))
        continue;
      RETURN_IF_ERROR(AddCertificateFiles(folder / name, own, out), "certificates of ", origin.host);
    }
  }
  if (own.empty()) return out;
  if (const char* bundle = curl_version_info(CURLVERSION_NOW)->cainfo; bundle != nullptr && base::Exists(bundle)) {
    ASSIGN_OR_RETURN(out.authorities, base::ReadFile(bundle), "system certificates");
  }
  out.authorities += "\n" + own;
  return out;
}

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// May this request go out as it is?
base::Result<Origin> CheckTarget(const HttpRequest& request) {
  ASSIGN_OR_RETURN(Origin origin, Origin::Parse(request.url));
  if (origin.scheme == "http" && !request.insecure && !origin.loopback()) {
    return base::Fail(Code::kFailedPrecondition, ShownUrl(request.url),
                      ": plain HTTP is allowed for insecure registries only");
  }
  return origin;
}

// Rewrites the request for where the answer points to.
base::Status Follow(HttpRequest& request, const HttpResponse& response) {
  const std::string shown = ShownUrl(request.url);
  const std::string target = ResolveUrl(request.url, response.Header("location"));
  if (target.empty()) return base::Fail(Code::kUnavailable, shown, ": redirect to something that is no URL");
  ASSIGN_OR_RETURN(const Origin from, Origin::Parse(request.url));
  ASSIGN_OR_RETURN(const Origin to, Origin::Parse(target), shown, ": redirect");
  if (from.scheme == "https" && to.scheme == "http") {
    return base::Fail(Code::kFailedPrecondition, shown, ": redirect from https to http refused (", ShownUrl(target),
                      ")");
  }
  if (!(from == to)) {
    request.authorization.clear();
    request.settings.reset();
    if (request.method == "POST")
      return base::Fail(Code::kFailedPrecondition, shown, ": redirect of a POST to another host refused");
  }
  if (request.method == "POST" && response.status != 307 && response.status != 308) {
    request.method = "GET";
    request.body.clear();
  }
  request.url = target;
  return {};
}

}  // namespace

std::string HttpResponse::Header(std::string_view name) const {
  const auto found = headers.find(std::string(name));
  return found == headers.end() ? std::string() : found->second;
}

std::vector<std::string> HttpResponse::Headers(std::string_view name) const {
  std::vector<std::string> out;
  const auto [first, last] = headers.equal_range(std::string(name));
  for (auto it = first; it != last; ++it) out.push_back(it->second);
  return out;
}

// A libcurl handle with its connections. Used by one thread at a time.
class HttpClient::Session {
 public:
  static std::unique_ptr<Session> Make() {
    static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    auto session = std::unique_ptr<Session>(new Session);
    if (ready != CURLE_OK || session->multi_ == nullptr || session->easy_ == nullptr) return nullptr;
    return session;
  }
  ~Session() {
    curl_easy_cleanup(easy_);
    curl_multi_cleanup(multi_);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  base::Status Run(Exchange& exchange, const Origin& origin, const HttpOptions& options, const base::Context& context) {
    const HttpRequest& request = *exchange.request;
    curl_easy_reset(easy_);
    exchange.easy = easy_;
    std::array<char, CURL_ERROR_SIZE> text{};
    HeaderList headers;
    ASSIGN_OR_RETURN(const HostCertificates certificates,
                     CertificatesFor(origin, request.settings.get(), options.certificate_folders));
    RETURN_IF_ERROR(SetUp(request, origin, options, certificates, headers));
    curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, text.data());
    curl_easy_setopt(easy_, CURLOPT_WRITEDATA, &exchange);
    curl_easy_setopt(easy_, CURLOPT_HEADERDATA, &exchange);
    curl_multi_add_handle(multi_, easy_);
    const base::Status driven = Drive(exchange, options, context);
    CURLcode result = CURLE_OK;
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg == CURLMSG_DONE) result = message->data.result;
    }
    long os_error = 0;
    curl_easy_getinfo(easy_, CURLINFO_OS_ERRNO, &os_error);
    curl_multi_remove_handle(multi_, easy_);
    RETURN_IF_ERROR(driven);
    if (!exchange.failure) return exchange.failure;
    if (result == CURLE_OK || exchange.cut) return Announce(exchange);
    base::Error error{.code = CodeOf(result), .message = text[0] != '\0' ? text.data() : curl_easy_strerror(result)};
    error.err = static_cast<int>(os_error);
    return tl::make_unexpected(std::move(error));
  }

 private:
  Session() : multi_(curl_multi_init()), easy_(curl_easy_init()) {}

  base::Status SetUp(const HttpRequest& request, const Origin& origin, const HttpOptions& options,
                     const HostCertificates& certificates, HeaderList& headers) {
    for (const auto& [name, value] : request.headers) RETURN_IF_ERROR(headers.Add(name, value));
    if (request.settings) {
      for (const auto& [name, value] : request.settings->headers) RETURN_IF_ERROR(headers.Add(name, value));
    }
    RETURN_IF_ERROR(headers.Add("Accept-Encoding", "identity"));
    if (!request.authorization.empty()) RETURN_IF_ERROR(headers.Add("Authorization", request.authorization));
    curl_easy_setopt(easy_, CURLOPT_URL, request.url.c_str());
    curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy_, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy_, CURLOPT_USERAGENT, "berth/" BERTH_VERSION);
    curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy_, CURLOPT_BUFFERSIZE, kReceiveBuffer);
    curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(ConnectTimeout(request, options).count()));
    // A look-up that hangs must not hold up a cancelled pull.
    curl_easy_setopt(easy_, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy_, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &OnBody);
    curl_easy_setopt(easy_, CURLOPT_HEADERFUNCTION, &OnHeader);
    SetUpProxy(origin);
    if (request.method == "HEAD") curl_easy_setopt(easy_, CURLOPT_NOBODY, 1L);
    if (request.method == "POST") {
      curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
      curl_easy_setopt(easy_, CURLOPT_COPYPOSTFIELDS, request.body.c_str());
    }
    SetUpTls(request, certificates);
    return {};
  }

  static std::chrono::milliseconds ConnectTimeout(const HttpRequest& request, const HttpOptions& options) {
    return request.settings && request.settings->connect_timeout ? *request.settings->connect_timeout
                                                                 : options.connect_timeout;
  }

  // libcurl reads https_proxy, HTTPS_PROXY, all_proxy and no_proxy by itself, but HTTP_PROXY in small letters alone: it
  // was made for CGI programs too, where clients set the large one. Ours is set by the administrator, as for other
  // runtimes.
  void SetUpProxy(const Origin& origin) {
    if (origin.loopback()) {
      curl_easy_setopt(easy_, CURLOPT_PROXY, "");
    } else if (origin.scheme == "http" && getenv("http_proxy") == nullptr) {
      if (const char* proxy = getenv("HTTP_PROXY"); proxy != nullptr && *proxy != '\0')
        curl_easy_setopt(easy_, CURLOPT_PROXY, proxy);
    }
  }

  void SetUpTls(const HttpRequest& request, const HostCertificates& certificates) {
    curl_easy_setopt(easy_, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    const bool verify = request.settings && request.settings->verify ? *request.settings->verify : !request.insecure;
    if (!verify) {
      curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYPEER, 0L);
      curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (!certificates.authorities.empty()) {
      std::string copy = certificates.authorities;
      curl_blob blob{.data = copy.data(), .len = copy.size(), .flags = CURL_BLOB_COPY};
      curl_easy_setopt(easy_, CURLOPT_CAINFO_BLOB, &blob);
    }
    if (!certificates.certificate.empty()) {
      curl_easy_setopt(easy_, CURLOPT_SSLCERT, certificates.certificate.c_str());
      curl_easy_setopt(easy_, CURLOPT_SSLKEY, certificates.key.c_str());
    }
  }

  // Runs the transfer to its end; an error when the context or the stall rule ended it.
  base::Status Drive(const Exchange& exchange, const HttpOptions& options, const base::Context& context) {
    std::chrono::nanoseconds waited{0};  // in this window; what the sink takes is not the registry's fault
    int64_t window_start = 0;
    while (true) {
      RETURN_IF_ERROR(context.Check("transfer"));
      int running = 0;
      if (curl_multi_perform(multi_, &running) != CURLM_OK) return base::Fail(Code::kInternal, "libcurl failed");
      if (running == 0) return {};
      const base::TimePoint start = base::Monotonic::now();
      const base::TimePoint until = std::min(context.deadline(), start + (options.stall_window - waited));
      curl_waitfd cancelled{.fd = context.fd(), .events = CURL_WAIT_POLLIN, .revents = 0};
      curl_multi_poll(multi_, &cancelled, context.fd() >= 0 ? 1 : 0, base::PollTimeout(until), nullptr);
      waited += base::Monotonic::now() - start;
      if (waited < options.stall_window) continue;
      if (exchange.received - window_start < options.stall_bytes) {
        return base::Fail(Code::kUnavailable, "stalled: ", exchange.received - window_start, " bytes in ",
                          options.stall_window.count(), " ms");
      }
      waited = {};
      window_start = exchange.received;
    }
  }

  CURLM* multi_;
  CURL* easy_;
};

HttpClient::HttpClient(HttpOptions options) : options_(std::move(options)) {}
HttpClient::~HttpClient() = default;

base::Result<HttpResponse> HttpClient::Once(const HttpRequest& request, const base::Context& context) {
  ASSIGN_OR_RETURN(const Origin origin, CheckTarget(request));
  std::unique_ptr<Session> session = idle_.With([](auto& idle) {
    std::unique_ptr<Session> out;
    if (!idle.empty()) {
      out = std::move(idle.back());
      idle.pop_back();
    }
    return out;
  });
  if (!session) session = Session::Make();
  if (!session) return base::Fail(Code::kResourceExhausted, "libcurl could not be started");
  Exchange exchange;
  exchange.request = &request;
  exchange.response.url = request.url;
  RETURN_IF_ERROR(session->Run(exchange, origin, options_, context), request.method, " ", ShownUrl(request.url));
  idle_.With([&](auto& idle) {
    if (idle.size() < kMaxIdle) idle.push_back(std::move(session));
  });
  return std::move(exchange.response);
}

base::Result<HttpResponse> HttpClient::Do(const HttpRequest& given, const base::Context& context) {
  HttpRequest request = given;
  for (int hop = 0; hop <= kMaxRedirects; ++hop) {
    ASSIGN_OR_RETURN(HttpResponse response, Once(request, context));
    if (!IsRedirect(response.status) || response.Header("location").empty()) return response;
    RETURN_IF_ERROR(Follow(request, response));
  }
  return base::Fail(Code::kUnavailable, ShownUrl(given.url), ": more than ", kMaxRedirects, " redirects");
}

}  // namespace berth::image
