#include "image/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::image {
namespace {

using testing::HasSubstr;
const std::string kHex(64, 'a');
const std::string kSha = "sha256:" + kHex;
const std::string kSha512 = "sha512:" + std::string(128, '0');

struct Good {
  std::string text;
  std::string full;
  std::string familiar;
};

TEST(Reference, NormalFormOfWhatIsAllowed) {
  const std::vector<Good> table = {
      {"busybox", "docker.io/library/busybox:latest", "busybox:latest"},
      {"busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"},
      {"user/app", "docker.io/user/app:latest", "user/app:latest"},
      {"docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"},
      {"index.docker.io/library/busybox:1", "docker.io/library/busybox:1", "busybox:1"},
      {"quay.io/a/b/c:v1", "quay.io/a/b/c:v1", "quay.io/a/b/c:v1"},
      {"quay.io/single", "quay.io/single:latest", "quay.io/single:latest"},
      {"localhost/app", "localhost/app:latest", "localhost/app:latest"},
      {"localhost:5000/app:x", "localhost:5000/app:x", "localhost:5000/app:x"},
      {"localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"},
      {"host:443/app", "host:443/app:latest", "host:443/app:latest"},
      {"[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"},
      {"[fe80::1]/app", "[fe80::1]/app:latest", "[fe80::1]/app:latest"},
      {"HOST/app", "HOST/app:latest", "HOST/app:latest"},
      {"a-b.example.com/x", "a-b.example.com/x:latest", "a-b.example.com/x:latest"},
      {"docker.io/localhost/x:1", "docker.io/localhost/x:1", "docker.io/localhost/x:1"},
      {"docker.io/library/" + kHex + ":1", "docker.io/library/" + kHex + ":1", "library/" + kHex + ":1"},
      {"a.b/c__d.e-f--g", "a.b/c__d.e-f--g:latest", "a.b/c__d.e-f--g:latest"},
      {"app:_A.b-c", "docker.io/library/app:_A.b-c", "app:_A.b-c"},
      {"app:" + std::string(128, 't'), "docker.io/library/app:" + std::string(128, 't'),
       "app:" + std::string(128, 't')},
      {"app@" + kSha, "docker.io/library/app@" + kSha, "app@" + kSha},
      {"app:tag@" + kSha, "docker.io/library/app@" + kSha, "app@" + kSha},
      {"app@" + kSha512, "docker.io/library/app@" + kSha512, "app@" + kSha512},
  };
  for (const Good& row : table) {
    const auto reference = Reference::Parse(row.text);
    ASSERT_TRUE(reference) << row.text << ": " << reference.error().Text();
    EXPECT_EQ(reference->Full(), row.full);
    EXPECT_EQ(reference->Familiar(), row.familiar);
    const auto again = Reference::Parse(reference->Full());
    ASSERT_TRUE(again) << reference->Full();
    EXPECT_EQ(*again, *reference);
  }
}

TEST(Reference, WhatIsNotAllowedSaysWhy) {
  const std::vector<std::pair<std::string, std::string>> table = {
      {"", "empty"},
      {"Busybox", "lower-case"},
      {"host.example/App", "lower-case"},
      {":tag", "repository name"},
      {"app:", "tag"},
      {"app:.x", "tag"},
      {"app:-x", "tag"},
      {"app:" + std::string(129, 't'), "tag"},
      {"app:a b", "tag"},
      {"a//b", "repository name"},
      {"a/", "repository name"},
      {"/a", "repository name"},
      {"a.b/", "repository name"},
      {"a___b", "repository name"},
      {"a..b", "repository name"},
      {"a_-b", "repository name"},
      {"-a", "repository name"},
      {"a-", "repository name"},
      {".a/b", "host"},
      {"a.-b/c", "host"},
      {"a..b/c", "host"},
      {"host:0/a", "host"},
      {"host:65536/a", "host"},
      {"host:/a", "host"},
      {"host:1x/a", "host"},
      {"[::1/a", "host"},
      {"[::g]/a", "host"},
      {"[::1]x/a", "host"},
      {"[]:1/a", "host"},
      {kHex, "id"},
      {"app@" + kHex, "digest"},
      {"app@sha256:" + std::string(63, 'a'), "digest"},
      {"app@sha256:" + std::string(64, 'A'), "lower-case"},
      {"app@md5:" + std::string(32, 'a'), "digest"},
      {"app@", "digest"},
      {"a.b/" + std::string(252, 'x'), "255"},
      {std::string(5000, 'x'), "too long"},
      {std::string("app\0x", 5), "repository name"},
      {"https://quay.io/a", "host"},
  };
  for (const auto& [text, why] : table) {
    const auto reference = Reference::Parse(text);
    ASSERT_FALSE(reference) << text;
    EXPECT_EQ(reference.error().code, base::Code::kInvalidArgument) << text;
    EXPECT_THAT(reference.error().message, HasSubstr(why)) << text;
  }
}

TEST(Reference, DockerHubHasAnotherNameOnTheWire) {
  EXPECT_EQ(Reference::Parse("busybox")->WireHost(), "registry-1.docker.io");
  EXPECT_EQ(Reference::Parse("quay.io/x")->WireHost(), "quay.io");
}

TEST(Reference, IdsAndTheirPrefixes) {
  for (const std::string& text : {kHex, kSha, std::string("abc"), std::string("sha256:abc")})
    EXPECT_TRUE(IsIdOrPrefix(text)) << text;
  for (const std::string& text :
       {std::string("ab"), std::string("xyz"), kHex + "a", std::string("ABC"), kSha512, std::string()}) {
    EXPECT_FALSE(IsIdOrPrefix(text)) << text;
  }
}

}  // namespace
}  // namespace berth::image
