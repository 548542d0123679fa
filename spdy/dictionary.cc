#include <cstdint>

#include "base/strings.h"
#include "spdy/header_block.h"

namespace berth::spdy {
namespace {

// Names and values that carry their length in front.
constexpr std::string_view kWords =
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin";

// The rest: codes, phrases, dates and common values, one after the other.
constexpr std::string_view kTail =
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

std::string Make() {
  std::string out;
  for (const std::string_view word : base::Split(kWords, ' ')) {
    out.append(3, '\0');
    out.push_back(static_cast<char>(word.size()));
    out += word;
    // The only one with a blank in it.
    if (word == "200_OK") out[out.size() - 3] = ' ';
  }
  out += kTail;
  return out;
}

}  // namespace

const std::string& Dictionary() {
  static const std::string dictionary = Make();
  return dictionary;
}

}  // namespace berth::spdy
