// Which images may be pulled: containers-policy.json(5) as far as it is about registries and sigstore keys, and the
// signatures themselves.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "image/digest.h"
#include "image/reference.h"

namespace berth::image {

// How the name in a signature must agree with the one that is pulled.
struct SignedIdentity {
  enum class Kind {
    kMatchRepoDigestOrExact,
    kMatchExact,
    kMatchRepository,
    kExactReference,
    kExactRepository,
    kRemapIdentity
  };
  Kind kind = Kind::kMatchRepoDigestOrExact;
  std::string name;           // of kExactReference and kExactRepository
  std::string prefix;         // of kRemapIdentity
  std::string signed_prefix;  // likewise
};

struct SignatureRequirement {
  enum class Kind { kAccept, kReject, kSigstore };
  Kind kind = Kind::kReject;
  std::vector<std::string> keys;  // PEM; one of them must have signed
  SignedIdentity identity;
  std::string why;  // of kReject, when it stands for a requirement that cannot be met here
};

// A signature in cosign's form ("simple signing"): a JSON text that names an image, and what a key made of it.
struct ImageSignature {
  std::string payload;
  std::string signature;  // raw
};

// A value.
class SignaturePolicy {
 public:
  // A missing file accepts anything. Requirements of other kinds (signedBy, sigstoreSigned without a key) reject what
  // they are for: they cannot be met here. Keys are read from their files now.
  static base::Result<SignaturePolicy> Load(const base::Path& file);

  // All of these must be met. Those of the most telling scope: the full name, the repository, the folders above it, the
  // host,
  // "*." and a domain, the transport, the default.
  const std::vector<SignatureRequirement>& For(const Reference& reference) const;

 private:
  std::map<std::string, std::vector<SignatureRequirement>, std::less<>> scopes_;  // of the transport "docker"
  std::vector<SignatureRequirement> default_;
};

bool NeedsSignatures(const std::vector<SignatureRequirement>& requirements);

// Whether the image may be used: every requirement is met, by a signature over one of `digests` (its index or manifest)
// where one is needed. kFailedPrecondition that begins with "SignatureValidationFailed: ", as the kubelet knows it.
base::Status CheckSignatures(const std::vector<SignatureRequirement>& requirements,
                             const std::vector<ImageSignature>& signatures, const Reference& reference,
                             const std::vector<Digest>& digests);

}  // namespace berth::image
