#include "image/digest.h"

#include <openssl/evp.h>

#include <array>
#include <cstdlib>

#include "base/strings.h"

namespace berth::image {
namespace {

constexpr std::string_view kSha256Prefix = "sha256:";
constexpr std::string_view kSha512Prefix = "sha512:";

const EVP_MD* Method(Digest::Algorithm algorithm) {
  return algorithm == Digest::Algorithm::kSha512 ? EVP_sha512() : EVP_sha256();
}

// These calls fail when memory has run out, which ends the process like every other allocation does.
void Must(int ok) {
  if (ok != 1) std::abort();
}

}  // namespace

base::Result<Digest> Digest::Parse(std::string_view text) {
  const bool sha256 = text.starts_with(kSha256Prefix);
  const bool sha512 = text.starts_with(kSha512Prefix);
  const std::string_view hex = text.substr(sha256 || sha512 ? kSha256Prefix.size() : 0);
  if (!(sha256 && hex.size() == 64) && !(sha512 && hex.size() == 128)) {
    return base::Fail(base::Code::kInvalidArgument, "digest \"", text.substr(0, 200),
                      "\": not a sha256 or sha512 digest");
  }
  if (!base::IsHex(hex)) {
    return base::Fail(base::Code::kInvalidArgument, "digest \"", text, "\": not lower-case hex digits");
  }
  Digest digest;
  digest.text_ = text;
  return digest;
}

Digest::Algorithm Digest::algorithm() const {
  return text_.starts_with(kSha512Prefix) ? Algorithm::kSha512 : Algorithm::kSha256;
}

std::string_view Digest::hex() const {
  return empty() ? std::string_view() : std::string_view(text_).substr(kSha256Prefix.size());
}

void Hasher::Free::operator()(evp_md_ctx_st* context) const {
  EVP_MD_CTX_free(context);
}

Hasher::Hasher(Digest::Algorithm algorithm) : algorithm_(algorithm), context_(EVP_MD_CTX_new()) {
  Must(EVP_DigestInit_ex(context_.get(), Method(algorithm), nullptr));
}

Hasher::Hasher(const Hasher& other) : algorithm_(other.algorithm_), context_(EVP_MD_CTX_new()) {
  Must(EVP_MD_CTX_copy_ex(context_.get(), other.context_.get()));
}

Hasher& Hasher::operator=(const Hasher& other) {
  return *this = Hasher(other);
}

void Hasher::Update(std::span<const uint8_t> bytes) {
  Must(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
}
void Hasher::Update(std::string_view bytes) {
  Must(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
}

Digest Hasher::Finish() const {
  const Hasher last(*this);
  std::array<uint8_t, EVP_MAX_MD_SIZE> bytes{};
  unsigned length = 0;
  Must(EVP_DigestFinal_ex(last.context_.get(), bytes.data(), &length));
  Digest digest;
  digest.text_ = base::Cat(algorithm_ == Digest::Algorithm::kSha512 ? kSha512Prefix : kSha256Prefix,
                           base::HexEncode(std::span(bytes).first(length)));
  return digest;
}

Digest Sha256::Of(std::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Finish();
}

Digest ChainId(const Digest& parent, const Digest& diff_id) {
  return parent.empty() ? diff_id : Sha256::Of(base::Cat(parent.str(), " ", diff_id.str()));
}

}  // namespace berth::image
