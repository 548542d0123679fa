#include "container/seccomp.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>
#include <set>

#include "base/file.h"
#include "base/strings.h"
#include "container/seccomp_default.h"
#include "container/seccomp_profile.h"
#include "cri-proto/api.pb.h"

namespace berth::container {
namespace {

const oci::SeccompRule* RuleFor(const oci::Seccomp& profile, const std::string& name) {
  for (const oci::SeccompRule& rule : profile.syscalls) {
    if (std::find(rule.names.begin(), rule.names.end(), name) != rule.names.end()) return &rule;
  }
  return nullptr;
}

cri::LinuxContainerSecurityContext WithType(cri::SecurityProfile::ProfileType type, const std::string& path = "") {
  cri::LinuxContainerSecurityContext security;
  security.mutable_seccomp()->set_profile_type(type);
  security.mutable_seccomp()->set_localhost_ref(path);
  return security;
}

std::string Line(const DefaultRule& rule) {
  std::string argument;
  if (rule.argument) {
    argument = base::Cat(rule.argument->index, ":", rule.argument->op, ":", rule.argument->value);
    if (rule.argument->op == "SCMP_CMP_MASKED_EQ") argument += base::Cat(":", rule.argument->value_two);
  }
  const std::string kernel = rule.kernel_major == 0 ? "" : base::Cat(rule.kernel_major, ".", rule.kernel_minor);
  return base::Cat(rule.syscall, "\t", rule.error == 0 ? "SCMP_ACT_ALLOW" : "SCMP_ACT_ERRNO", "\t", rule.error == ENOSYS ? "ENOSYS" : "", "\t",
                   rule.if_capability, "\t", rule.unless_capability, "\t", rule.if_architectures, "\t", rule.unless_architectures, "\t", kernel,
                   "\t", argument);
}

TEST(Seccomp, DefaultTableIsTheTable) {
  std::set<std::string> ours;
  for (const std::string_view name : AlwaysAllowed()) ours.insert(Line({.syscall = name}));
  for (const DefaultRule& rule : ConditionalRules()) ours.insert(Line(rule));
  std::set<std::string> wanted;
  std::ifstream file(BERTH_SECCOMP_TABLE);
  std::string line;
  std::getline(file, line);  // the heads of the columns
  while (std::getline(file, line)) wanted.insert(line);
  ASSERT_GT(wanted.size(), 400u);
  EXPECT_EQ(ours, wanted);
}

TEST(Seccomp, AbsentIsUnconfined) {
  const auto mapped = MapSeccomp({}, {});
  ASSERT_TRUE(mapped);
  EXPECT_FALSE(mapped->has_value());
}

TEST(Seccomp, EmptyProfileMessageIsRuntimeDefault) {
  cri::LinuxContainerSecurityContext security;
  security.mutable_seccomp();
  const auto mapped = MapSeccomp(security, {});
  ASSERT_TRUE(mapped && mapped->has_value());
  EXPECT_EQ((*mapped)->default_action, "SCMP_ACT_ERRNO");
  EXPECT_EQ((*mapped)->default_errno_ret, static_cast<uint32_t>(EPERM));
}

TEST(Seccomp, WithoutSysAdminCloneIsMaskedAndClone3Hidden) {
  const auto mapped = MapSeccomp(WithType(cri::SecurityProfile::RuntimeDefault), {});
  ASSERT_TRUE(mapped && mapped->has_value());
  const oci::SeccompRule* clone = RuleFor(**mapped, "clone");
  ASSERT_NE(clone, nullptr);
  ASSERT_EQ(clone->args.size(), 1u);
  EXPECT_EQ(clone->args[0].value, 0x7E020000u);
  const oci::SeccompRule* clone3 = RuleFor(**mapped, "clone3");
  ASSERT_NE(clone3, nullptr);
  EXPECT_EQ(clone3->errno_ret, static_cast<uint32_t>(ENOSYS));
  EXPECT_EQ(RuleFor(**mapped, "mount"), nullptr);
}

TEST(Seccomp, SysAdminMayMount) {
  const std::vector<std::string> capabilities = {"CAP_SYS_ADMIN"};
  const auto mapped = MapSeccomp(WithType(cri::SecurityProfile::RuntimeDefault), capabilities);
  ASSERT_TRUE(mapped && mapped->has_value());
  EXPECT_NE(RuleFor(**mapped, "mount"), nullptr);
  EXPECT_TRUE(RuleFor(**mapped, "clone")->args.empty());
}

TEST(Seccomp, LocalhostRefWithOtherTypeIsRefused) {
  const auto mapped = MapSeccomp(WithType(cri::SecurityProfile::Unconfined, "/x"), {});
  ASSERT_FALSE(mapped);
  EXPECT_EQ(mapped.error().code, base::Code::kInvalidArgument);
}

TEST(Seccomp, LocalhostProfileThatIsMissingIsRefused) {
  for (const char* path : {"/does/not/exist.json", "relative.json", ""}) {
    const auto mapped = MapSeccomp(WithType(cri::SecurityProfile::Localhost, path), {});
    ASSERT_FALSE(mapped) << path;
    EXPECT_EQ(mapped.error().code, base::Code::kInvalidArgument) << path;
  }
}

TEST(Seccomp, DeprecatedFieldStillCounts) {
  cri::LinuxContainerSecurityContext security;
  security.set_seccomp_profile_path("runtime/default");
  auto mapped = MapSeccomp(security, {});
  ASSERT_TRUE(mapped);
  EXPECT_TRUE(mapped->has_value());
  security.set_seccomp_profile_path("unconfined");
  mapped = MapSeccomp(security, {});
  ASSERT_TRUE(mapped);
  EXPECT_FALSE(mapped->has_value());
  security.set_seccomp_profile_path("nonsense");
  EXPECT_FALSE(MapSeccomp(security, {}));
}

constexpr SeccompHost kHost{.architecture = "amd64", .kernel_major = 6, .kernel_minor = 1};

TEST(SeccompProfile, ConditionsDecideWhatStays) {
  constexpr std::string_view kProfile = R"({"defaultAction":"SCMP_ACT_ERRNO","archMap":[
    {"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]},{"architecture":"SCMP_ARCH_AARCH64"}],
    "syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"},
    {"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
    {"names":["ptrace"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"6.2"}},
    {"names":["write"],"action":"SCMP_ACT_ALLOW","excludes":{"arches":["arm64"]}},
    {"names":["no_such_syscall_at_all"],"action":"SCMP_ACT_ALLOW"}]})";
  const auto profile = ParseSeccompProfile(kProfile, {}, kHost);
  ASSERT_TRUE(profile) << profile.error().message;
  EXPECT_EQ(profile->architectures, (std::vector<std::string>{"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"}));
  ASSERT_EQ(profile->syscalls.size(), 2u);
  EXPECT_EQ(profile->syscalls[0].names[0], "read");
  EXPECT_EQ(profile->syscalls[1].names[0], "write");
}

TEST(SeccompProfile, WhatIsNoProfileIsRefused) {
  for (const char* text : {"", "[]", "{}", R"({"defaultAction":1})", R"({"defaultAction":"A","syscalls":[{"names":["read"]}]})",
                           R"({"defaultAction":"A","syscalls":[{"names":["read"],"action":"B","args":[{"index":9}]}]})"}) {
    EXPECT_FALSE(ParseSeccompProfile(text, {}, kHost)) << text;
  }
}

}  // namespace
}  // namespace berth::container
