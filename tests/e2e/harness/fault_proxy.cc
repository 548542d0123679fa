#include "tests/e2e/harness/fault_proxy.h"

#include "base/strings.h"

namespace berth::e2e {
namespace {

using base::Cat;

// What holds for one hop alone, or is made anew for the next.
bool IsForThisHop(const std::string& name) {
  for (const char* one : {"content-length", "transfer-encoding", "connection"}) {
    if (name == one) return true;
  }
  return false;
}

}  // namespace

FaultProxy::FaultProxy(std::string registry_host) : registry_host_(std::move(registry_host)), client_({}) {
  SetRule([](const Request&, const std::function<Answer()>& real) { return real(); });
}

void FaultProxy::SetRule(Rule rule) {
  http_.SetHook(
      [this, rule = std::move(rule)](const Request& request) { return rule(request, [&] { return Real(request); }); });
}

FaultProxy::Answer FaultProxy::Real(const Request& request) {
  image::HttpRequest ask;
  ask.method = request.method;
  ask.url = Cat("http://", registry_host_, request.path, request.query.empty() ? "" : "?", request.query);
  ask.body_limit = 64 << 20;
  for (const char* name : {"accept", "range"}) {
    if (const std::string value = request.Header(name); !value.empty()) ask.headers.emplace_back(name, value);
  }
  auto response = client_.Do(ask, base::Context().WithTimeout(std::chrono::seconds(30)));
  if (!response) return {.status = 502, .body = response.error().Text()};
  Answer out{.status = response->status, .body = std::move(response->body)};
  for (const auto& [name, value] : response->headers) {
    if (!IsForThisHop(name)) out.headers.emplace_back(name, value);
  }
  if (request.method == "HEAD") {
    if (const auto length = base::ParseInt(response->Header("content-length")))
      out.said_length = static_cast<size_t>(*length);
  }
  return out;
}

}  // namespace berth::e2e
