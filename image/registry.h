// A registry seen from one pull: mirrors first, then itself; each byte that is handed on has been counted and hashed.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "image/auth.h"
#include "image/http.h"
#include "image/manifest.h"
#include "image/reference.h"

namespace berth::image {

struct MirrorConfig {
  std::string url;  // "https://mirror.example[:port][/prefix]"; "/v2/..." is added
  bool insecure = false;
  bool tags = true;  // may be asked what a tag means; otherwise for digests alone
};

struct RegistryConfig {
  std::vector<MirrorConfig> mirrors;  // tried in this order before the registry itself
  bool insecure = false;  // plain HTTP and unverified TLS
};

struct RegistryOptions {
  HttpOptions http;
  std::map<std::string, RegistryConfig> registries;  // by a reference's domain ("docker.io")
  CredentialSource credentials;  // asked when the caller gave none, and for mirrors; may be empty
  // Tries of one request at one endpoint that bring no byte. A mirror gets fewer: there is another place to go to.
  int attempts = 5;
  int mirror_attempts = 2;
  std::chrono::milliseconds first_delay{500};  // doubles with each try
  std::chrono::milliseconds longest_delay{30'000};  // caps Retry-After as well
};

// What a reference stands for: the top document, verified against its digest.
struct Resolved {
  Digest digest;
  std::string media_type;
  std::string body;  // empty when `known` said that it need not be fetched
};

using BlobSink = std::function<base::Status(std::span<const uint8_t>)>;

// Thread-safe. Errors: kNotFound "<reference>: not found"; kUnauthenticated for 401 and 403; kUnavailable when no endpoint
// answered usefully within its tries; kUnknown when content does not match its digest or size.
class RegistryClient {
 public:
  // `auth` is for the reference's own registry and goes to no mirror. `tokens` outlives the client.
  static base::Result<std::unique_ptr<RegistryClient>> Make(const RegistryOptions& options, const Reference& reference,
                                                            const AuthConfig& auth, TokenCache* tokens);
  ~RegistryClient();

  // `known`, when given, says that the document behind a digest is here already.
  base::Result<Resolved> Resolve(const base::Context& context, const std::function<bool(const Digest&)>& known = {});

  // A manifest or index by digest: verified, at most kMaxManifestBytes.
  base::Result<Resolved> FetchManifest(const Descriptor& descriptor, const base::Context& context);

  // A small blob (a config) whole: verified, at most `limit` bytes.
  base::Result<std::string> FetchSmall(const Descriptor& descriptor, size_t limit, const base::Context& context);

  // Streams a blob. The sink sees each byte once and in order, over broken transfers and changes of endpoint too, and on this
  // thread. Success means that size and digest were right; until then the sink's bytes are not to be believed. After kUnknown
  // the endpoint that lied is not asked again; TryAgain() says whether another start can come out differently.
  base::Status FetchBlob(const Descriptor& descriptor, const BlobSink& sink, const base::Context& context);
  bool TryAgain() const;

 private:
  struct State;
  explicit RegistryClient(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace berth::image
