// One place that serves a repository: the registry itself or a mirror, with who we are there.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/context.h"
#include "base/guarded.h"
#include "base/result.h"
#include "image/auth.h"
#include "image/host_settings.h"
#include "image/http.h"

namespace berth::image {

// Thread-safe.
class Endpoint {
 public:
  struct Options {
    std::string url;     // scheme, host and prefix, without "/v2"; or, with no path, what is asked is a whole URL
    bool whole = false;  // `url` is the API's root: no "/v2" is added
    std::string path;    // of the repository
    std::string ns;  // for mirrors: the registry that they stand for (distribution specification, "Registry Proxying")
    bool insecure = false;
    bool fallback = false;  // to be asked only when the endpoint before it is down
    bool tags = true;       // may be asked what a tag means
    bool content = true;    // may be asked for manifests and blobs
    int attempts = 1;
    Credentials credentials;
    std::string credential_host;  // what the source is asked for: "docker.io", "mirror.example:5000"
    CredentialSource source;      // asked at the first challenge when there are no credentials; may be empty
    std::shared_ptr<const HostSettings> settings;  // may be null
  };
  Endpoint(Options options, HttpClient* http, TokenCache* tokens);

  const Options& options() const { return options_; }
  std::string Url(std::string_view kind, std::string_view name) const;  // kind: "manifests" or "blobs"

  // One exchange: adds authorization and answers a challenge. The request's own authorization is ignored. Any status
  // but that of an answered challenge is a response; errors as HttpClient's, and kUnauthenticated when no token was
  // given.
  base::Result<HttpResponse> Do(HttpRequest request, const base::Context& context);

  // Whether to ask it: false once it lied or, with another to go to, did not answer.
  bool usable() const { return !distrusted_ && !down_; }
  bool down() const { return down_; }
  void Distrust() { distrusted_ = true; }
  void SetDown() { down_ = true; }

 private:
  base::Result<bool> Authorize(const HttpResponse& refused, const std::string& sent, const base::Context& context);
  base::Result<Credentials> CredentialsHere(const base::Context& context);
  base::Result<std::string> BearerToken(const Challenge& challenge, const Credentials& credentials,
                                        const std::string& sent, const base::Context& context);
  base::Result<Token> FetchToken(const TokenKey& key, const Credentials& credentials, const base::Context& context);

  const Options options_;
  const std::string host_;
  HttpClient* const http_;
  TokenCache* const tokens_;
  base::Guarded<std::string> authorization_;
  base::Guarded<std::optional<Credentials>> asked_;  // what the source said
  std::atomic<bool> distrusted_ = false;
  std::atomic<bool> down_ = false;
};

}  // namespace berth::image
