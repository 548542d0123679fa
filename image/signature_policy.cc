#include "image/signature_policy.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include <algorithm>
#include <memory>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "json/json.h"

namespace berth::image {
namespace {

using base::Code;
using base::Fail;
using base::Result;
using base::Status;
using Requirements = std::vector<SignatureRequirement>;
using Kind = SignatureRequirement::Kind;
using Identity = SignedIdentity::Kind;
constexpr size_t kMaxFile = 4 << 20;
constexpr std::string_view kFailed = "SignatureValidationFailed: ";
constexpr std::string_view kSignatureType = "cosign container image signature";

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;

Key ReadKey(const std::string& pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())),
                                                      &BIO_free);
  return Key(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
}

bool Verifies(const std::string& pem, const ImageSignature& signature) {
  const Key key = ReadKey(pem);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  if (!key || !context) return false;
  // Ed25519 hashes by itself.
  const EVP_MD* hash = EVP_PKEY_base_id(key.get()) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256();
  const auto* bytes = reinterpret_cast<const unsigned char*>(signature.signature.data());
  const auto* text = reinterpret_cast<const unsigned char*>(signature.payload.data());
  return EVP_DigestVerifyInit(context.get(), nullptr, hash, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), bytes, signature.signature.size(), text, signature.payload.size()) == 1;
}

Result<SignedIdentity> ReadIdentity(const nlohmann::json& object, std::string_view what) {
  SignedIdentity out;
  ASSIGN_OR_RETURN(const std::string type, json::String(object, "type", what));
  if (type == "matchRepoDigestOrExact") return out;
  if (type == "matchExact") {
    out.kind = Identity::kMatchExact;
  } else if (type == "matchRepository") {
    out.kind = Identity::kMatchRepository;
  } else if (type == "exactReference") {
    out.kind = Identity::kExactReference;
    ASSIGN_OR_RETURN(out.name, json::String(object, "dockerReference", what));
  } else if (type == "exactRepository") {
    out.kind = Identity::kExactRepository;
    ASSIGN_OR_RETURN(out.name, json::String(object, "dockerRepository", what));
  } else if (type == "remapIdentity") {
    out.kind = Identity::kRemapIdentity;
    ASSIGN_OR_RETURN(out.prefix, json::String(object, "prefix", what));
    ASSIGN_OR_RETURN(out.signed_prefix, json::String(object, "signedPrefix", what));
  } else {
    return Fail(Code::kInvalidArgument, what, ": signedIdentity \"", type.substr(0, 100), "\" is not known");
  }
  return out;
}

Status ReadKeys(const nlohmann::json& object, std::string_view what, std::vector<std::string>& keys) {
  ASSIGN_OR_RETURN(auto paths, json::Strings(object, "keyPaths", what));
  ASSIGN_OR_RETURN(auto data, json::Strings(object, "keyDatas", what));
  ASSIGN_OR_RETURN(const std::string path, json::String(object, "keyPath", what));
  ASSIGN_OR_RETURN(const std::string inline_key, json::String(object, "keyData", what));
  if (!path.empty()) paths.push_back(path);
  if (!inline_key.empty()) data.push_back(inline_key);
  for (const std::string& file : paths) {
    ASSIGN_OR_RETURN(std::string pem, base::ReadFile(file, 1 << 20), what);
    keys.push_back(std::move(pem));
  }
  for (const std::string& encoded : data) {
    auto pem = base::Base64Decode(encoded);
    if (!pem) return Fail(Code::kInvalidArgument, what, ": keyData is not base64");
    keys.push_back(*std::move(pem));
  }
  for (const std::string& pem : keys) {
    if (!ReadKey(pem)) return Fail(Code::kInvalidArgument, what, ": a key is not a PEM public key");
  }
  return {};
}

SignatureRequirement Unsupported(std::string_view requirement) {
  return {.kind = Kind::kReject,
          .keys = {},
          .identity = {},
          .why = base::Cat("the signature policy asks for ", requirement, ", which is not supported")};
}

Result<SignatureRequirement> ReadRequirement(const nlohmann::json& object, std::string_view what) {
  SignatureRequirement out;
  ASSIGN_OR_RETURN(const std::string type, json::String(object, "type", what));
  if (type == "insecureAcceptAnything") {
    out.kind = Kind::kAccept;
  } else if (type == "reject") {
    out.kind = Kind::kReject;
  } else if (type == "sigstoreSigned") {
    out.kind = Kind::kSigstore;
    RETURN_IF_ERROR(ReadKeys(object, what, out.keys));
    const bool rekor = object.contains("rekorPublicKeyPath") || object.contains("rekorPublicKeyData");
    if (out.keys.empty() || rekor || object.contains("fulcio") || object.contains("pki")) {
      return Unsupported("sigstoreSigned with anything but keys");
    }
    ASSIGN_OR_RETURN(const nlohmann::json* identity, json::Object(object, "signedIdentity", what));
    if (identity != nullptr) {
      ASSIGN_OR_RETURN(out.identity, ReadIdentity(*identity, what));
    }
  } else {
    return Unsupported(type.substr(0, 100));
  }
  return out;
}

Result<Requirements> ReadRequirements(const nlohmann::json& list, std::string_view what) {
  if (!list.is_array() || list.empty()) return Fail(Code::kInvalidArgument, what, ": not a list of requirements");
  Requirements out;
  for (const nlohmann::json& item : list) {
    ASSIGN_OR_RETURN(SignatureRequirement requirement, ReadRequirement(item, what));
    out.push_back(std::move(requirement));
  }
  return out;
}

// Does `prefix` cover `name` up to the end of one of its parts?
bool Covers(std::string_view prefix, std::string_view name) {
  return name.starts_with(prefix) && (name.size() == prefix.size() || name[prefix.size()] == '/' ||
                                      name[prefix.size()] == ':' || name[prefix.size()] == '@');
}

bool Agrees(const SignedIdentity& identity, const std::string& signed_text, const Reference& pulled) {
  const auto parsed = Reference::Parse(signed_text);
  if (!parsed) return false;
  // Parsing adds "latest" to what names a repository alone; a signature that does so is for none of its tags.
  const bool exact_text = Reference::HasTag(signed_text) || !parsed->digest.empty();
  Reference wanted = pulled;
  switch (identity.kind) {
    case Identity::kExactReference: {
      const auto exact = Reference::Parse(identity.name);
      return exact && exact_text && *exact == *parsed;
    }
    case Identity::kExactRepository: {
      const auto exact = Reference::Parse(identity.name);
      return exact && exact->Name() == parsed->Name();
    }
    case Identity::kMatchRepository:
      return parsed->Name() == wanted.Name();
    case Identity::kMatchExact:
      return exact_text && *parsed == wanted;
    case Identity::kRemapIdentity: {
      const std::string full = pulled.Full();
      if (!Covers(identity.prefix, full)) break;
      const auto moved = Reference::Parse(base::Cat(identity.signed_prefix, full.substr(identity.prefix.size())));
      if (!moved) return false;
      wanted = *moved;
      break;
    }
    case Identity::kMatchRepoDigestOrExact:
      break;
  }
  return wanted.digest.empty() ? exact_text && *parsed == wanted : parsed->Name() == wanted.Name();
}

// Whether the signature is this key's over one of the digests, under the right name.
Status CheckOne(const SignatureRequirement& requirement, const ImageSignature& signature, const Reference& reference,
                const std::vector<Digest>& digests) {
  const bool genuine =
      std::ranges::any_of(requirement.keys, [&](const std::string& key) { return Verifies(key, signature); });
  if (!genuine) return Fail(Code::kFailedPrecondition, "a signature is not by the key that is asked for");
  // From here on the text is the signer's.
  constexpr std::string_view kWhat = "signature";
  ASSIGN_OR_RETURN(const nlohmann::json payload, json::Parse(signature.payload, kWhat));
  ASSIGN_OR_RETURN(const nlohmann::json* critical, json::Object(payload, "critical", kWhat));
  if (critical == nullptr) return Fail(Code::kFailedPrecondition, "a signature says nothing");
  ASSIGN_OR_RETURN(const std::string type, json::String(*critical, "type", kWhat));
  ASSIGN_OR_RETURN(const nlohmann::json* image, json::Object(*critical, "image", kWhat));
  ASSIGN_OR_RETURN(const nlohmann::json* identity, json::Object(*critical, "identity", kWhat));
  if (type != kSignatureType || image == nullptr || identity == nullptr)
    return Fail(Code::kFailedPrecondition, "a signature is of another kind");
  ASSIGN_OR_RETURN(const std::string digest, json::String(*image, "docker-manifest-digest", kWhat));
  ASSIGN_OR_RETURN(const std::string name, json::String(*identity, "docker-reference", kWhat));
  if (std::ranges::find(digests, digest, &Digest::str) == digests.end())
    return Fail(Code::kFailedPrecondition, "a signature is for another image");
  if (!Agrees(requirement.identity, name, reference))
    return Fail(Code::kFailedPrecondition, "a signature is for the name \"", name.substr(0, 200), "\"");
  return {};
}

}  // namespace

Result<SignaturePolicy> SignaturePolicy::Load(const base::Path& file) {
  SignaturePolicy policy;
  const auto text =
      file.empty() ? base::Result<std::string>(Fail(Code::kNotFound, "")) : base::ReadFile(file, kMaxFile);
  if (!text && (file.empty() || text.error().err == ENOENT)) {
    policy.default_ = {{.kind = Kind::kAccept, .keys = {}, .identity = {}}};
    return policy;
  }
  RETURN_IF_ERROR(text, "signature policy");
  const std::string& what = file.native();
  ASSIGN_OR_RETURN(const nlohmann::json object, json::Parse(*text, what));
  if (!object.is_object() || !object.contains("default")) return Fail(Code::kInvalidArgument, what, ": no default");
  ASSIGN_OR_RETURN(policy.default_, ReadRequirements(object["default"], base::Cat(what, ": default")));
  ASSIGN_OR_RETURN(const nlohmann::json* transports, json::Object(object, "transports", what));
  if (transports == nullptr) return policy;
  ASSIGN_OR_RETURN(const nlohmann::json* docker, json::Object(*transports, "docker", what));
  if (docker == nullptr) return policy;
  for (const auto& [scope, list] : docker->items()) {
    ASSIGN_OR_RETURN(policy.scopes_[scope], ReadRequirements(list, base::Cat(what, ": ", scope)));
  }
  return policy;
}

const Requirements& SignaturePolicy::For(const Reference& reference) const {
  const auto find = [&](std::string_view scope) -> const Requirements* {
    const auto found = scopes_.find(scope);
    return found == scopes_.end() ? nullptr : &found->second;
  };
  if (const auto* exact = find(reference.Full())) return *exact;
  std::string name = reference.Name();
  while (true) {
    if (const auto* scope = find(name)) return *scope;
    const size_t slash = name.rfind('/');
    if (slash == std::string::npos) break;
    name.resize(slash);
  }
  for (size_t dot = reference.domain.find('.'); dot != std::string::npos; dot = reference.domain.find('.', dot + 1)) {
    if (const auto* scope = find("*" + reference.domain.substr(dot))) return *scope;
  }
  const auto* transport = find("");
  return transport != nullptr ? *transport : default_;
}

bool NeedsSignatures(const Requirements& requirements) {
  return std::ranges::any_of(
      requirements, [](const SignatureRequirement& requirement) { return requirement.kind == Kind::kSigstore; });
}

Status CheckSignatures(const Requirements& requirements, const std::vector<ImageSignature>& signatures,
                       const Reference& reference, const std::vector<Digest>& digests) {
  for (const SignatureRequirement& requirement : requirements) {
    if (requirement.kind == Kind::kAccept) continue;
    if (requirement.kind == Kind::kReject) {
      const std::string_view why =
          requirement.why.empty() ? std::string_view("the signature policy rejects it") : requirement.why;
      return Fail(Code::kFailedPrecondition, kFailed, reference.Full(), ": ", why);
    }
    std::string why = "no signature was found";
    bool met = false;
    for (const ImageSignature& signature : signatures) {
      const Status checked = CheckOne(requirement, signature, reference, digests);
      met = checked.has_value();
      if (met) break;
      why = checked.error().message;
    }
    if (!met) return Fail(Code::kFailedPrecondition, kFailed, reference.Full(), ": ", why);
  }
  return {};
}

}  // namespace berth::image
