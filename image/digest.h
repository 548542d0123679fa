// Content digests ("sha256:<hex>") and the running hashes that make them.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

struct evp_md_ctx_st;  // OpenSSL's EVP_MD_CTX

namespace berth::image {

// A registered digest of the OCI image specification (descriptor.md, "Digests"): sha256 or sha512, lower-case hex of
// the right length. A default one is empty and names nothing.
class Digest {
 public:
  enum class Algorithm { kSha256, kSha512 };

  Digest() = default;
  // kInvalidArgument for anything but "sha256:" and 64 or "sha512:" and 128 lower-case hex digits.
  static base::Result<Digest> Parse(std::string_view text);

  bool empty() const { return text_.empty(); }
  Algorithm algorithm() const;
  std::string_view hex() const;                     // without the algorithm
  const std::string& str() const { return text_; }  // "sha256:..."

  auto operator<=>(const Digest&) const = default;

 private:
  friend class Hasher;
  std::string text_;
};

// A running hash. A copy goes on from the same bytes, so that a transfer can be taken up again. Not thread-safe.
class Hasher {
 public:
  explicit Hasher(Digest::Algorithm algorithm);
  Hasher(const Hasher& other);
  Hasher& operator=(const Hasher& other);
  Hasher(Hasher&&) noexcept = default;
  Hasher& operator=(Hasher&&) noexcept = default;
  ~Hasher() = default;

  void Update(std::span<const uint8_t> bytes);
  void Update(std::string_view bytes);
  // The digest of all bytes so far; the hash may go on afterwards.
  Digest Finish() const;

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  Digest::Algorithm algorithm_;
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

class Sha256 : public Hasher {
 public:
  Sha256() : Hasher(Digest::Algorithm::kSha256) {}
  static Digest Of(std::string_view bytes);
};

// The chain id of a layer over its parents (OCI image config, "Layer ChainID"): `parent` empty for the lowest layer.
Digest ChainId(const Digest& parent, const Digest& diff_id);

}  // namespace berth::image

template <>
struct std::hash<berth::image::Digest> {
  size_t operator()(const berth::image::Digest& digest) const noexcept {
    return std::hash<std::string>()(digest.str());
  }
};
