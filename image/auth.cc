#include "image/auth.h"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "image/digest.h"
#include "json/json.h"

namespace berth::image {
namespace {

using base::Code;
constexpr size_t kMaxChallenges = 16;
constexpr size_t kMaxParameters = 32;
constexpr size_t kMaxTokens = 1024;
constexpr size_t kMaxRefreshToken = 16 << 10;
constexpr int64_t kShortestLife = 60;  // seconds; also what a token without expires_in lives
constexpr int64_t kLongestLife = 86'400;
// A token that ends within this time may end on its way.
constexpr std::chrono::seconds kMargin{10};

std::string KeyOf(std::initializer_list<std::string_view> fields) {
  if (std::ranges::all_of(fields, [](std::string_view field) { return field.empty(); })) return {};
  std::string text;
  for (const std::string_view field : fields) text += base::Cat(field.size(), ":", field);
  return Sha256::Of(text).str();
}

// "https://index.docker.io/v1/" is "docker.io", as a reference's domain.
std::string HostOfServerAddress(std::string_view address) {
  if (const size_t scheme = address.find("://"); scheme != std::string_view::npos) address.remove_prefix(scheme + 3);
  std::string host = base::Lower(address.substr(0, address.find('/')));
  if (host == "index.docker.io" || host == "registry-1.docker.io") return "docker.io";
  return host;
}

// RFC 7230's tchar.
bool IsTokenChar(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

class HeaderReader {
 public:
  explicit HeaderReader(std::string_view text) : text_(text) {}
  bool AtEnd() const { return at_ == text_.size(); }
  bool Take(char c) {
    if (AtEnd() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void SkipBlanks() {
    while (!AtEnd() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  void SkipCommas() {
    do SkipBlanks();
    while (Take(','));
  }
  void SkipToComma() {
    while (!AtEnd() && text_[at_] != ',') ++at_;
  }
  std::string_view Token() {
    const size_t start = at_;
    while (!AtEnd() && IsTokenChar(text_[at_])) ++at_;
    return text_.substr(start, at_ - start);
  }
  std::optional<std::string> Quoted() {
    std::string out;
    while (!AtEnd()) {
      if (Take('"')) return out;
      if (Take('\\') && AtEnd()) return std::nullopt;
      out.push_back(text_[at_++]);
    }
    return std::nullopt;
  }
  std::optional<std::string> Value() {
    if (Take('"')) return Quoted();
    return std::string(Token());
  }
  // name = value. Moves on only if it is one: a token alone is the next challenge's scheme.
  std::optional<std::pair<std::string, std::string>> Parameter() {
    const size_t start = at_;
    const std::string name = base::Lower(Token());
    SkipBlanks();
    if (!name.empty() && Take('=')) {
      SkipBlanks();
      if (auto value = Value()) return std::pair(name, *std::move(value));
      at_ = text_.size();  // a quote that never ends takes all that follows with it
      return std::nullopt;
    }
    at_ = start;
    return std::nullopt;
  }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

bool AuthConfig::empty() const {
  return Key().empty();
}
std::string AuthConfig::Key() const {
  return KeyOf({username, password, auth, server_address, identity_token, registry_token});
}
bool Credentials::anonymous() const {
  return username.empty() && identity_token.empty() && registry_token.empty();
}
std::string Credentials::Key() const {
  return KeyOf({username, password, identity_token, registry_token});
}

base::Result<Credentials> CredentialsFor(const AuthConfig& config, std::string_view host) {
  Credentials out;
  if (!config.server_address.empty() && HostOfServerAddress(config.server_address) != base::Lower(host)) return out;
  if (!config.username.empty()) {
    out.username = config.username;
    out.password = config.password;
  } else if (!config.identity_token.empty()) {
    out.identity_token = config.identity_token;
  } else if (!config.auth.empty()) {
    std::optional<std::string> pair = base::Base64Decode(config.auth);
    const size_t colon = pair ? pair->find(':') : std::string::npos;
    if (colon == std::string::npos) {
      return base::Fail(Code::kInvalidArgument, "credentials for ", host, ": auth is not base64 of \"user:password\"");
    }
    out.username = pair->substr(0, colon);
    out.password = pair->substr(colon + 1);
    while (out.password.ends_with('\0')) out.password.pop_back();
  } else {
    out.registry_token = config.registry_token;
  }
  return out;
}

std::vector<Challenge> ParseChallenges(std::string_view header) {
  std::vector<Challenge> out;
  HeaderReader reader(header);
  while (out.size() < kMaxChallenges) {
    reader.SkipCommas();
    Challenge challenge{.scheme = base::Lower(reader.Token()), .parameters = {}};
    if (challenge.scheme.empty()) break;
    reader.SkipBlanks();
    while (auto parameter = reader.Parameter()) {
      if (challenge.parameters.size() < kMaxParameters) challenge.parameters.insert(*std::move(parameter));
      reader.SkipToComma();  // over the rest of a token68 ("Negotiate abc==")
      reader.SkipCommas();
    }
    out.push_back(std::move(challenge));
  }
  return out;
}

std::optional<Challenge> ChooseChallenge(const std::vector<std::string>& headers) {
  std::optional<Challenge> basic;
  for (const std::string& header : headers) {
    for (Challenge& challenge : ParseChallenges(header)) {
      if (challenge.scheme == "bearer" && challenge.parameters.contains("realm")) return challenge;
      if (challenge.scheme == "basic" && !basic) basic = std::move(challenge);
    }
  }
  return basic;
}

std::string BasicAuthorization(const Credentials& credentials) {
  return base::Cat("Basic ", base::Base64Encode(base::Cat(credentials.username, ":", credentials.password)));
}

base::Result<Token> ParseToken(std::string_view body, base::TimePoint now) {
  constexpr std::string_view kWhat = "token server's answer";
  // Errors of the parser would not show the text, but nothing of it belongs into an error anyway.
  ASSIGN_OR_RETURN(const nlohmann::json object, json::Parse(body, kWhat));
  Token out;
  ASSIGN_OR_RETURN(out.value, json::String(object, "access_token", kWhat));
  if (out.value.empty()) {
    ASSIGN_OR_RETURN(out.value, json::String(object, "token", kWhat));
  }
  const bool printable = std::ranges::all_of(out.value, [](char c) { return c > ' ' && c < 0x7f; });
  if (out.value.empty() || !printable) return base::Fail(Code::kUnauthenticated, kWhat, ": no token in it");
  const auto life = json::Int(object, "expires_in", kWhat);
  const int64_t seconds = life && *life ? **life : kShortestLife;
  out.expires = now + std::chrono::seconds(std::clamp(seconds, kShortestLife, kLongestLife));
  ASSIGN_OR_RETURN(out.refresh, json::String(object, "refresh_token", kWhat));
  if (out.refresh.size() > kMaxRefreshToken) out.refresh.clear();
  return out;
}

std::optional<std::string> TokenCache::Find(const TokenKey& key) {
  return tokens_.With([&](auto& tokens) -> std::optional<std::string> {
    const auto found = tokens.find(key);
    if (found == tokens.end()) return std::nullopt;
    if (found->second.expires - kMargin > base::Monotonic::now()) return found->second.value;
    tokens.erase(found);
    return std::nullopt;
  });
}

void TokenCache::Put(const TokenKey& key, Token token) {
  if (!token.refresh.empty() && !key.credentials.empty()) {
    TokenKey any_scope = key;
    any_scope.scope.clear();
    refreshes_.With([&](auto& kept) {
      if (kept.size() >= kMaxTokens && !kept.contains(any_scope)) {
        kept.erase(std::ranges::min_element(kept, {}, [](const auto& entry) { return entry.second.given; }));
      }
      kept.insert_or_assign(any_scope, Refresh{std::move(token.refresh), base::Monotonic::now()});
    });
  }
  token.refresh.clear();
  tokens_.With([&](auto& tokens) {
    if (tokens.size() >= kMaxTokens && !tokens.contains(key)) {
      tokens.erase(std::ranges::min_element(tokens, {}, [](const auto& entry) { return entry.second.expires; }));
    }
    tokens.insert_or_assign(key, std::move(token));
  });
}

void TokenCache::Drop(const TokenKey& key, std::string_view value) {
  tokens_.With([&](auto& tokens) {
    const auto found = tokens.find(key);
    if (found != tokens.end() && found->second.value == value) tokens.erase(found);
  });
}

std::string TokenCache::FindRefresh(TokenKey key) {
  key.scope.clear();
  return refreshes_.With([&](const auto& kept) {
    const auto found = kept.find(key);
    return found == kept.end() ? std::string() : found->second.value;
  });
}

void TokenCache::DropRefresh(TokenKey key, std::string_view value) {
  key.scope.clear();
  refreshes_.With([&](auto& kept) {
    const auto found = kept.find(key);
    if (found != kept.end() && found->second.value == value) kept.erase(found);
  });
}

}  // namespace berth::image
