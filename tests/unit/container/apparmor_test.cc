#include "container/apparmor.h"

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
  static std::string Map(const cri::LinuxContainerSecurityContext& security, const kernel::TempFolder& sys) {
    const auto mapped = MapApparmor(security, sys.path());
    return mapped ? *mapped : base::Cat(base::CodeName(mapped.error().code), ": ", mapped.error().message);
  }
  kernel::TempFolder on_, off_;
};

TEST_F(ApparmorTest, UnconfinedIsNoProfileAnywhere) {
  for (const kernel::TempFolder* sys : {&on_, &off_}) {
    for (const auto& security : {cri::LinuxContainerSecurityContext(), New(Type::Unconfined), Old(""), Old("unconfined")}) {
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
  EXPECT_FALSE(MapApparmor(New(Type::Localhost, "stric"), on_.path()));
  EXPECT_FALSE(MapApparmor(New(Type::Localhost, "strict (complain)"), on_.path()));
  EXPECT_FALSE(MapApparmor(New(Type::Localhost, ""), on_.path()));
  EXPECT_FALSE(MapApparmor(Old("localhost/"), on_.path()));
  EXPECT_FALSE(MapApparmor(New(Type::Localhost, "strict"), off_.path()));
}

TEST_F(ApparmorTest, DefaultIsNoneWithoutAppArmorAndRefusedWithIt) {
  for (const auto& security : {New(Type::RuntimeDefault), Old("runtime/default")}) {
    EXPECT_EQ(Map(security, off_), "");
    const auto mapped = MapApparmor(security, on_.path());
    ASSERT_FALSE(mapped);
    EXPECT_EQ(mapped.error().code, base::Code::kUnimplemented);
  }
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
  EXPECT_FALSE(MapApparmor(Old("strict"), on_.path()));
  EXPECT_FALSE(MapApparmor(New(Type::Unconfined, "strict"), on_.path()));
  EXPECT_FALSE(MapApparmor(New(Type::RuntimeDefault, "strict"), off_.path()));
  EXPECT_FALSE(MapApparmor(New(static_cast<Type::ProfileType>(3)), on_.path()));
}

}  // namespace
}  // namespace berth::container
