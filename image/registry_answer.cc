#include "image/registry_answer.h"

#include <curl/curl.h>

#include <algorithm>
#include <random>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "base/time.h"
#include "json/json.h"

namespace berth::image {
namespace {

using base::Code;
constexpr size_t kMaxQuoted = 300;

// The first error of a registry's answer (distribution specification, "Error Codes"), made fit for one line of a log.
std::string Quoted(const HttpResponse& response) {
  std::string out = base::Cat("status ", response.status);
  const auto object = json::Parse(response.body, "error");
  if (!object) return out;
  const auto errors = json::Array(*object, "errors", "error");
  if (!errors || *errors == nullptr || (*errors)->empty()) return out;
  const auto code = json::String((*errors)->front(), "code", "error");
  const auto message = json::String((*errors)->front(), "message", "error");
  for (const auto& part : {code, message}) {
    if (!part || part->empty()) continue;
    out += ", ";
    for (const char c : part->substr(0, kMaxQuoted)) out.push_back(c >= ' ' && c < 0x7f ? c : '?');
  }
  return out;
}

}  // namespace

bool IsTransient(int status) {
  return status == 408 || status == 429 || (status >= 500 && status != 501 && status != 505);
}

base::Error ErrorOf(const HttpResponse& response) {
  const std::string text = base::Cat(ShownUrl(response.url), ": ", Quoted(response));
  if (response.status == 404) return {.code = Code::kNotFound, .message = base::Cat("not found (", text, ")")};
  if (response.status == 401 || response.status == 403) {
    return {.code = Code::kUnauthenticated,
            .message = base::Cat("access denied, or the repository does not exist (", text, ")")};
  }
  return {.code = IsTransient(response.status) ? Code::kUnavailable : Code::kInternal, .message = text};
}

std::chrono::milliseconds RetryAfter(const HttpResponse& response) {
  const std::string text = response.Header("retry-after");
  if (const auto seconds = base::ParseInt(text)) return std::chrono::seconds(std::clamp<int64_t>(*seconds, 0, 86'400));
  const time_t when = text.empty() ? -1 : curl_getdate(text.c_str(), nullptr);
  if (when == -1) return {};
  return std::chrono::seconds(std::clamp<int64_t>(when - base::UnixNanos() / 1'000'000'000, 0, 86'400));
}

base::Status BackOff(const RegistryOptions& options, int attempt, std::chrono::milliseconds asked,
                     const base::Context& context) {
  const auto doubled = options.first_delay * (1 << std::min(attempt - 1, 16));
  // Spread over half to one and a half, so that a thousand nodes do not come back at once.
  const auto spread = doubled * (500 + static_cast<int64_t>(std::random_device()() % 1000)) / 1000;
  const auto delay = std::min(std::max(spread, asked), options.longest_delay);
  RETURN_IF_ERROR(context.Wait(-1, 0, "waiting to ask the registry again", base::Monotonic::now() + delay));
  return {};
}

}  // namespace berth::image
