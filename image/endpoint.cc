#include "image/endpoint.h"

#include <vector>

#include "base/strings.h"
#include "image/registry_answer.h"

namespace berth::image {
namespace {

using base::Code;
constexpr std::string_view kBearer = "Bearer ";
constexpr size_t kMaxTokenAnswer = 64 << 10;
constexpr std::string_view kClientId = "berth";

std::string HostOf(std::string_view url) {
  const auto origin = Origin::Parse(url);
  return origin ? base::Cat(origin->host, ":", origin->port) : std::string(url);
}

bool SameOrigin(std::string_view a, std::string_view b) {
  const auto first = Origin::Parse(a);
  const auto second = Origin::Parse(b);
  return first && second && *first == *second;
}

bool SameHost(std::string_view a, std::string_view b) {
  const auto first = Origin::Parse(a);
  const auto second = Origin::Parse(b);
  return first && second && first->scheme == second->scheme && first->host == second->host;
}

std::string WithQuery(std::string url, std::string_view query) {
  if (query.empty()) return url;
  return base::Cat(url, url.find('?') == std::string::npos ? "?" : "&", query);
}

// service=...&scope=...&scope=...
std::string TokenQuery(const TokenKey& key) {
  std::string out = base::Cat("service=", UrlEncode(key.service));
  for (const std::string_view scope : base::Split(key.scope, ' ')) {
    if (!scope.empty()) out += base::Cat("&scope=", UrlEncode(scope));
  }
  return out;
}

HttpRequest TokenPost(const TokenKey& key, std::string_view grant) {
  HttpRequest request;
  request.method = "POST";
  request.url = key.realm;
  request.headers = {{"Content-Type", "application/x-www-form-urlencoded"}};
  request.body =
      base::Cat(grant, "&client_id=", kClientId, "&service=", UrlEncode(key.service), "&scope=", UrlEncode(key.scope));
  return request;
}

HttpRequest TokenGet(const TokenKey& key, const Credentials& credentials) {
  HttpRequest request;
  request.url = WithQuery(key.realm, TokenQuery(key));
  if (!credentials.username.empty()) request.authorization = BasicAuthorization(credentials);
  return request;
}

HttpRequest RefreshPost(const TokenKey& key, std::string_view refresh_token) {
  return TokenPost(key, base::Cat("grant_type=refresh_token&refresh_token=", UrlEncode(refresh_token)));
}

bool IsUnsupported(int status) {
  return status == 404 || status == 405;
}

base::Result<Token> TokenOf(const HttpResponse& response, const TokenKey& key) {
  const std::string where = ShownUrl(key.realm);
  if (IsTransient(response.status)) {
    return base::Fail(Code::kUnavailable, "token server ", where, ": status ", response.status);
  }
  if (response.status != 200) {
    // Its text is not quoted: it may repeat what we sent.
    return base::Fail(Code::kUnauthenticated, "access denied: token server ", where, " answered ", response.status);
  }
  return ParseToken(response.body, base::Monotonic::now());
}

}  // namespace

Endpoint::Endpoint(Options options, HttpClient* http, TokenCache* tokens)
    : options_(std::move(options)), host_(HostOf(options_.url)), http_(http), tokens_(tokens) {}

std::string Endpoint::Url(std::string_view kind, std::string_view name) const {
  std::string url = base::Cat(options_.url, options_.whole ? "/" : "/v2/", options_.path, "/", kind, "/", name);
  return options_.ns.empty() ? url : WithQuery(std::move(url), base::Cat("ns=", UrlEncode(options_.ns)));
}

base::Result<HttpResponse> Endpoint::Do(HttpRequest request, const base::Context& context) {
  request.insecure = options_.insecure;
  request.settings = options_.settings;
  // Nothing, then a token that was kept, then a fresh one.
  for (int round = 1;; ++round) {
    request.authorization = authorization_.With([](const std::string& value) { return value; });
    ASSIGN_OR_RETURN(HttpResponse response, http_->Do(request, context));
    // A refusal by the storage that we were sent to is no challenge to our credentials.
    if (response.status != 401 || round == 3 || !SameOrigin(response.url, request.url)) return response;
    ASSIGN_OR_RETURN(const bool again, Authorize(response, request.authorization, context));
    if (!again) return response;
  }
}

base::Result<bool> Endpoint::Authorize(const HttpResponse& refused, const std::string& sent,
                                       const base::Context& context) {
  const std::string current = authorization_.With([](const std::string& value) { return value; });
  if (current != sent) return true;  // another thread has renewed it meanwhile
  const std::optional<Challenge> challenge = ChooseChallenge(refused.Headers("www-authenticate"));
  if (!challenge || options_.path.empty()) return false;
  ASSIGN_OR_RETURN(const Credentials credentials, CredentialsHere(context));
  std::string value;
  if (challenge->scheme == "basic") {
    if (credentials.username.empty()) return false;
    value = BasicAuthorization(credentials);
  } else if (!credentials.registry_token.empty()) {
    value = base::Cat(kBearer, credentials.registry_token);
  } else {
    ASSIGN_OR_RETURN(const std::string token, BearerToken(*challenge, credentials, sent, context));
    value = base::Cat(kBearer, token);
  }
  if (value == sent) return false;
  authorization_.With([&](std::string& kept) { kept = value; });
  return true;
}

base::Result<Credentials> Endpoint::CredentialsHere(const base::Context& context) {
  if (!options_.credentials.anonymous() || !options_.source) return options_.credentials;
  if (auto known = asked_.With([](const auto& value) { return value; })) return *std::move(known);
  const std::string& host = options_.credential_host;
  ASSIGN_OR_RETURN(AuthConfig found, options_.source(host, options_.path, context), "credentials for ", host);
  found.server_address.clear();  // the source was asked for this host
  ASSIGN_OR_RETURN(Credentials credentials, CredentialsFor(found, host));
  asked_.With([&](auto& value) { value = credentials; });
  return credentials;
}

base::Result<std::string> Endpoint::BearerToken(const Challenge& challenge, const Credentials& credentials,
                                                const std::string& sent, const base::Context& context) {
  const auto parameter = [&](const std::string& name) {
    const auto found = challenge.parameters.find(name);
    return found == challenge.parameters.end() ? std::string() : found->second;
  };
  TokenKey key{.host = host_,
               .realm = parameter("realm"),
               .service = parameter("service"),
               .scope = parameter("scope"),
               .credentials = credentials.Key()};
  if (key.scope.empty()) key.scope = base::Cat("repository:", options_.path, ":pull");
  if (sent.starts_with(kBearer)) tokens_->Drop(key, std::string_view(sent).substr(kBearer.size()));
  if (auto token = tokens_->Find(key)) return *std::move(token);
  ASSIGN_OR_RETURN(Token token, FetchToken(key, credentials, context), "token for ", options_.path);
  std::string value = token.value;
  tokens_->Put(key, std::move(token));
  return value;
}

base::Result<Token> Endpoint::FetchToken(const TokenKey& key, const Credentials& credentials,
                                         const base::Context& context) {
  const auto ask = [&](HttpRequest request) {
    request.insecure = options_.insecure;
    // A token server on the registry's own host has the certificates that were named for it.
    if (SameHost(key.realm, options_.url)) request.settings = options_.settings;
    request.body_limit = kMaxTokenAnswer;
    return http_->Do(request, context);
  };
  HttpResponse response;
  // One that the server no longer takes, or that it has no use for, is no reason to fail: there is another way to ask.
  const std::string kept = tokens_->FindRefresh(key);
  for (const std::string& refresh : {kept, credentials.identity_token}) {
    if (refresh.empty()) continue;
    ASSIGN_OR_RETURN(response, ask(RefreshPost(key, refresh)));
    if (response.status == 200 || IsTransient(response.status)) return TokenOf(response, key);
    tokens_->DropRefresh(key, refresh);
  }
  ASSIGN_OR_RETURN(response, ask(TokenGet(key, credentials)));
  if (IsUnsupported(response.status) && !credentials.username.empty()) {
    ASSIGN_OR_RETURN(response,
                     ask(TokenPost(key, base::Cat("grant_type=password&username=", UrlEncode(credentials.username),
                                                  "&password=", UrlEncode(credentials.password)))));
  }
  return TokenOf(response, key);
}

}  // namespace berth::image
