// A registry seen from one pull: mirrors first, then itself; each byte that is handed on has been counted and hashed.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "image/auth.h"
#include "image/content_source.h"
#include "image/http.h"
#include "image/manifest.h"
#include "image/reference.h"
#include "image/registry_files.h"
#include "image/signature_policy.h"

namespace berth::image {

struct MirrorConfig {
  std::string url;  // "https://mirror.example[:port][/prefix]"; "/v2/..." is added
  bool insecure = false;
  bool tags = true;  // may be asked what a tag means; otherwise for digests alone
};

struct RegistryConfig {
  std::vector<MirrorConfig> mirrors;  // tried in this order before the registry itself
  bool insecure = false;              // plain HTTP and unverified TLS
};

struct RegistryOptions {
  HttpOptions http;
  std::map<std::string, RegistryConfig> registries;  // by a reference's domain ("docker.io")
  base::Path signature_policy;           // containers-policy.json(5), read at each pull; empty: anything is accepted
  std::shared_ptr<RegistryFiles> files;  // asked for what `registries` does not name; may be null
  CredentialSource credentials;          // asked when the caller gave none, and for mirrors; may be empty
  // Tries of one request at one endpoint that bring no byte. A mirror gets fewer: there is another place to go to.
  int attempts = 5;
  int mirror_attempts = 2;
  std::chrono::milliseconds first_delay{500};       // doubles with each try
  std::chrono::milliseconds longest_delay{30'000};  // caps Retry-After as well
};

// Thread-safe. Errors: kNotFound "<reference>: not found"; kUnauthenticated for 401 and 403; kUnavailable when no
// endpoint answered usefully within its tries; kUnknown when content does not match its digest or size.
class RegistryClient : public ContentSource {
 public:
  // `auth` is for the reference's own registry and goes to no mirror. `tokens` outlives the client.
  static base::Result<std::unique_ptr<RegistryClient>> Make(const RegistryOptions& options, const Reference& reference,
                                                            const AuthConfig& auth, TokenCache* tokens);
  ~RegistryClient() override;

  // `known`, when given, says that the document behind a digest is here already.
  base::Result<Resolved> Resolve(const base::Context& context, const std::function<bool(const Digest&)>& known = {});

  // Signatures that lie beside the image with this digest: under the tag that cosign makes of it, and as its referrers.
  // Not verified. None is success; as many as fit a bound.
  base::Result<std::vector<ImageSignature>> FetchSignatures(const Digest& digest, const base::Context& context);

  base::Result<Resolved> FetchManifest(const Descriptor& descriptor, const base::Context& context) override;
  base::Result<std::string> FetchSmall(const Descriptor& descriptor, size_t limit,
                                       const base::Context& context) override;
  // Broken transfers go on where they broke, at another endpoint too. One that lied is not asked again.
  base::Status FetchBlob(const Descriptor& descriptor, const BlobSink& sink, const base::Context& context) override;
  bool TryAgain() const override;

 private:
  struct State;
  // A document by tag or, then verified, by digest, wherever it is.
  base::Result<Resolved> GetNamed(const std::string& name, const Digest& digest, const base::Context& context);
  base::Result<std::string> GetReferrers(const Digest& digest, const base::Context& context);
  explicit RegistryClient(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace berth::image
