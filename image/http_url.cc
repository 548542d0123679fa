#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>

#include "base/strings.h"
#include "image/http.h"

namespace berth::image {
namespace {

// libcurl's own parser, so that what is judged here is what libcurl will connect to.
class Url {
 public:
  Url() : handle_(curl_url()) {}
  Url(const Url&) = delete;
  Url& operator=(const Url&) = delete;
  ~Url() { curl_url_cleanup(handle_); }

  // A relative text is resolved against what was set before.
  bool Set(std::string_view text) {
    return text.find('\0') == std::string_view::npos &&
           curl_url_set(handle_, CURLUPART_URL, std::string(text).c_str(), CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK;
  }
  void Clear(CURLUPart part) { curl_url_set(handle_, part, nullptr, 0); }
  std::string Get(CURLUPart part, unsigned flags = 0) const {
    char* text = nullptr;
    if (curl_url_get(handle_, part, &text, flags) != CURLUE_OK) return {};
    std::string out = text;
    curl_free(text);
    return out;
  }

 private:
  CURLU* handle_;
};

}  // namespace

base::Result<Origin> Origin::Parse(std::string_view url) {
  Url parsed;
  if (!parsed.Set(url)) return base::Fail(base::Code::kInvalidArgument, "\"", ShownUrl(url), "\" is not a URL");
  Origin out;
  out.scheme = base::Lower(parsed.Get(CURLUPART_SCHEME));
  out.host = base::Lower(parsed.Get(CURLUPART_HOST));
  out.port = static_cast<int>(base::ParseInt(parsed.Get(CURLUPART_PORT, CURLU_DEFAULT_PORT)).value_or(0));
  if ((out.scheme != "https" && out.scheme != "http") || out.host.empty() || out.port == 0) {
    return base::Fail(base::Code::kInvalidArgument, "\"", ShownUrl(url), "\" is not an http or https URL");
  }
  if (!parsed.Get(CURLUPART_USER).empty() || !parsed.Get(CURLUPART_PASSWORD).empty()) {
    return base::Fail(base::Code::kInvalidArgument, "\"", ShownUrl(url),
                      "\": user information in a URL is not accepted");
  }
  return out;
}

bool Origin::loopback() const {
  in_addr address{};
  if (inet_pton(AF_INET, host.c_str(), &address) == 1) return (ntohl(address.s_addr) >> 24) == 127;
  return host == "localhost" || host == "[::1]";
}

std::string UrlEncode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool unreserved = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
                            c == '.' || c == '_' || c == '~';
    const auto byte = static_cast<uint8_t>(c);
    if (unreserved) {
      out.push_back(c);
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

std::string ShownUrl(std::string_view url) {
  Url parsed;
  if (!parsed.Set(url)) return "(unreadable URL)";
  for (const CURLUPart part : {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY, CURLUPART_FRAGMENT})
    parsed.Clear(part);
  return parsed.Get(CURLUPART_URL);
}

std::string ResolveUrl(std::string_view base, std::string_view location) {
  Url url;
  if (!url.Set(base) || !url.Set(location)) return {};
  url.Clear(CURLUPART_FRAGMENT);
  return url.Get(CURLUPART_URL);
}

}  // namespace berth::image
