// Who we are to a registry: credentials as CRI gives them, challenges, and tokens that are never shared across
// credentials. Nothing here puts a secret into an error or a log.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/guarded.h"
#include "base/result.h"
#include "base/time.h"

namespace berth::image {

// CRI's AuthConfig. All empty is anonymous.
struct AuthConfig {
  std::string username;
  std::string password;
  std::string auth;  // base64 of "username:password"
  std::string server_address;
  std::string identity_token;
  std::string registry_token;

  bool empty() const;
  // Names these credentials without showing them: equal for equal fields, a sha256 otherwise. Empty for anonymous.
  std::string Key() const;
};

struct Credentials {
  std::string username;
  std::string password;
  std::string identity_token;  // an OAuth2 refresh token
  std::string registry_token;  // used as the bearer token itself

  bool anonymous() const;
  std::string Key() const;  // as AuthConfig::Key
};

// In CRI's order: user name, identity token, auth, registry token. Anonymous when `server_address` names another host
// than `host` (a reference's domain). kInvalidArgument for an `auth` that is not base64 of a pair.
base::Result<Credentials> CredentialsFor(const AuthConfig& config, std::string_view host);

// Credentials for a host from the machine's own configuration (docker config.json, helpers). Called from pulling
// threads, several at once; they may wait for a helper program until the context ends.
using CredentialSource = std::function<base::Result<AuthConfig>(std::string_view host, std::string_view repository,
                                                                const base::Context& context)>;

// One challenge of a WWW-Authenticate header (RFC 7235, section 2.1). Names are lower-case.
struct Challenge {
  std::string scheme;
  std::map<std::string, std::string> parameters;
};
// All challenges of one header. What cannot be read ends the list; never fails.
std::vector<Challenge> ParseChallenges(std::string_view header);
// The one to answer: Bearer before Basic; nothing when neither is there.
std::optional<Challenge> ChooseChallenge(const std::vector<std::string>& headers);

// "Basic <base64>".
std::string BasicAuthorization(const Credentials& credentials);

struct Token {
  std::string value;
  base::TimePoint expires;
  std::string refresh;  // a refresh token that came with it; usually none
};
// The answer of a token server (distribution specification, token authentication). kUnauthenticated when it has no
// token.
base::Result<Token> ParseToken(std::string_view body, base::TimePoint now);

struct TokenKey {
  std::string host;
  std::string realm;
  std::string service;
  std::string scope;
  std::string credentials;  // Credentials::Key()
  auto operator<=>(const TokenKey&) const = default;
};

// Thread-safe. Holds a bounded number; those that end first make room. In memory alone.
class TokenCache {
 public:
  std::optional<std::string> Find(const TokenKey& key);
  // Keeps its refresh token too, for every scope of the same server and credentials. Anonymous callers have no use for
  // one.
  void Put(const TokenKey& key, Token token);
  // Drops the token if it still is `value`: the registry refused it.
  void Drop(const TokenKey& key, std::string_view value);

  // The newest refresh token that the server gave to these credentials, whatever the scope; empty when there is none.
  std::string FindRefresh(TokenKey key);
  void DropRefresh(TokenKey key, std::string_view value);

 private:
  struct Refresh {
    std::string value;
    base::TimePoint given;
  };
  base::Guarded<std::map<TokenKey, Token>> tokens_;
  base::Guarded<std::map<TokenKey, Refresh>> refreshes_;  // their keys have no scope
};

}  // namespace berth::image
