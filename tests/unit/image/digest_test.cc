#include "image/digest.h"

#include <gtest/gtest.h>

namespace berth::image {
namespace {

TEST(Digest, HashOfKnownText) {
  EXPECT_EQ(Sha256::Of("abc").str(), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Hasher long_hash(Digest::Algorithm::kSha512);
  long_hash.Update(std::string_view("abc"));
  EXPECT_EQ(long_hash.Finish().hex().substr(0, 16), "ddaf35a193617aba");
}

TEST(Digest, ACopyGoesOnFromTheSameBytes) {
  Sha256 first;
  first.Update(std::string_view("a"));
  Sha256 second = first;
  first.Update(std::string_view("x"));
  second.Update(std::string_view("bc"));
  EXPECT_EQ(second.Finish(), Sha256::Of("abc"));
  EXPECT_EQ(first.Finish(), Sha256::Of("ax"));
}

TEST(Digest, FinishLeavesTheHashRunning) {
  Sha256 hash;
  hash.Update(std::string_view("ab"));
  EXPECT_EQ(hash.Finish(), Sha256::Of("ab"));
  hash.Update(std::string_view("c"));
  EXPECT_EQ(hash.Finish(), Sha256::Of("abc"));
}

TEST(Digest, ChainOfTheLowestLayerIsItsDiffId) {
  const Digest a = Sha256::Of("a");
  const Digest b = Sha256::Of("b");
  EXPECT_EQ(ChainId({}, a), a);
  EXPECT_EQ(ChainId(a, b), Sha256::Of(a.str() + " " + b.str()));
}

}  // namespace
}  // namespace berth::image
