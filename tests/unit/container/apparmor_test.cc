#include "container/apparmor.h"
#include "container/apparmor_default.h"

#include "fixtures.h"

namespace berth::container {
namespace {

using Type = cri::SecurityProfile;

class ApparmorTest : public testing::Test {
 protected:
  ApparmorTest() {
    on_.Folder("module/apparmor/parameters");
    on_.File("module/apparmor/parameters/enabled", "Y\n");
    on_.Folder("kernel/security/apparmor");
    on_.File("kernel/security/apparmor/profiles", "a profile (enforce)\nstrict (complain)\n");
  }
  static cri::LinuxContainerSecurityContext New(Type::ProfileType type, const std::string& name = {}) {
    cri::LinuxContainerSecurityContext out;
    out.mutable_apparmor()->set_profile_type(type);
    out.mutable_apparmor()->set_localhost_ref(name);
    return out;
  }
  static cri::LinuxContainerSecurityContext Old(const std::string& name) {
    cri::LinuxContainerSecurityContext out;
    out.set_apparmor_profile(name);
    return out;
  }
  // The profile, or "code: message".
  static std::string Map(const cri::LinuxContainerSecurityContext& security, const kernel::TempFolder& sys,
                         bool default_loads = true) {
    const auto mapped = MapApparmor(security, default_loads, sys.path());
    return mapped ? *mapped : base::Cat(base::CodeName(mapped.error().code), ": ", mapped.error().message);
  }
  kernel::TempFolder on_, off_;
};

TEST_F(ApparmorTest, UnconfinedIsNoProfileAnywhere) {
  for (const kernel::TempFolder* sys : {&on_, &off_}) {
    for (const auto& security : {New(Type::Unconfined), Old("unconfined")}) {
      EXPECT_EQ(Map(security, *sys), "");
    }
  }
}

TEST_F(ApparmorTest, LoadedProfileIsUsedByItsName) {
  EXPECT_EQ(Map(New(Type::Localhost, "strict"), on_), "strict");
  EXPECT_EQ(Map(New(Type::Localhost, "localhost/strict"), on_), "strict");
  EXPECT_EQ(Map(New(Type::Localhost, "a profile"), on_), "a profile");
  EXPECT_EQ(Map(Old("localhost/strict"), on_), "strict");
}

TEST_F(ApparmorTest, ProfileThatIsNotLoadedIsRefused) {
  EXPECT_FALSE(MapApparmor(New(Type::Localhost, "stric"), true, on_.path()));
  EXPECT_FALSE(MapApparmor(New(Type::Localhost, "strict (complain)"), true, on_.path()));
  EXPECT_FALSE(MapApparmor(New(Type::Localhost, ""), true, on_.path()));
  EXPECT_FALSE(MapApparmor(Old("localhost/"), true, on_.path()));
  EXPECT_FALSE(MapApparmor(New(Type::Localhost, "strict"), true, off_.path()));
}

TEST_F(ApparmorTest, DefaultIsOurProfileWhereThereIsAppArmor) {
  for (const auto& security :
       {New(Type::RuntimeDefault), Old("runtime/default"), Old(""), cri::LinuxContainerSecurityContext()}) {
    EXPECT_EQ(Map(security, on_), "berth-default");
    EXPECT_EQ(Map(security, off_), "");
  }
}

TEST_F(ApparmorTest, DefaultThatCannotBeLoadedIsRefusedOnlyWhenItIsAskedFor) {
  for (const auto& security : {New(Type::RuntimeDefault), Old("runtime/default")}) {
    EXPECT_EQ(Map(security, off_, false), "");
    const auto mapped = MapApparmor(security, false, on_.path());
    ASSERT_FALSE(mapped);
    EXPECT_EQ(mapped.error().code, base::Code::kFailedPrecondition);
  }
  for (const auto& security : {Old(""), cri::LinuxContainerSecurityContext()}) EXPECT_EQ(Map(security, on_, false), "");
}

// What the parser is given, and what becomes of its answer.
TEST(ApparmorDefaultTest, IsLoadedOnceAndTriedAgainAfterAFailure) {
  kernel::TempFolder folder;
  const base::Path parser = folder.File("parser", "");
  const base::Path count = folder.path() / "count";
  const auto write = [&](int code) {
    ASSERT_TRUE(base::WriteFile(parser,
                                base::Cat("#!/bin/sh\necho \"$@\" >> ", count.native(), "\ncat > ", count.native(),
                                          ".text\necho why >&2\nexit ", code, "\n"),
                                0755));
  };
  ApparmorDefault profile(parser);
  write(1);
  const auto failed = profile.Load(base::Context().WithTimeout(std::chrono::seconds(30)));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, base::Code::kFailedPrecondition);
  EXPECT_NE(failed.error().message.find("why"), std::string::npos) << failed.error().message;
  write(0);
  EXPECT_TRUE(profile.Load(base::Context().WithTimeout(std::chrono::seconds(30))));
  EXPECT_TRUE(profile.Load(base::Context().WithTimeout(std::chrono::seconds(30))));
  EXPECT_EQ(*base::ReadFile(count), "--replace --skip-cache\n--replace --skip-cache\n");
  EXPECT_EQ(*base::ReadFile(count.native() + ".text"), ApparmorDefaultText());
}

TEST(ApparmorDefaultTest, WithoutAParserItSaysSo) {
  ApparmorDefault profile({});
  EXPECT_FALSE(profile.can_load());
  const auto failed = profile.Load(base::Context());
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message.find("apparmor_parser is not installed"), std::string::npos);
}

TEST_F(ApparmorTest, PrivilegedIsConfinedByANamedProfileAlone) {
  auto security = New(Type::RuntimeDefault);
  security.set_privileged(true);
  EXPECT_EQ(Map(security, on_), "");
  security = New(Type::Localhost, "strict");
  security.set_privileged(true);
  EXPECT_EQ(Map(security, on_), "strict");
}

TEST_F(ApparmorTest, NewFieldWinsOverTheOld) {
  auto security = Old("localhost/gone");
  security.mutable_apparmor()->set_profile_type(Type::Unconfined);
  EXPECT_EQ(Map(security, on_), "");
}

TEST_F(ApparmorTest, WhatMeansNothingIsRefused) {
  EXPECT_FALSE(MapApparmor(Old("strict"), true, on_.path()));
  EXPECT_FALSE(MapApparmor(New(Type::Unconfined, "strict"), true, on_.path()));
  EXPECT_FALSE(MapApparmor(New(Type::RuntimeDefault, "strict"), true, off_.path()));
  EXPECT_FALSE(MapApparmor(New(static_cast<Type::ProfileType>(3)), true, on_.path()));
}

}  // namespace
}  // namespace berth::container
