#include "container/seccomp.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <set>

#include "base/file.h"
#include "base/strings.h"
#include "container/seccomp_default.h"
#include "container/seccomp_profile.h"
#include "cri-proto/api.pb.h"
#include "fixtures.h"

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
  return base::Cat(rule.syscall, "\t", rule.error == 0 ? "SCMP_ACT_ALLOW" : "SCMP_ACT_ERRNO", "\t",
                   rule.error == ENOSYS ? "ENOSYS" : "", "\t", rule.if_capability, "\t", rule.unless_capability, "\t",
                   rule.if_architectures, "\t", rule.unless_architectures, "\t", kernel, "\t", argument);
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

TEST(Seccomp, LocalhostProfileIsReadFromItsFile) {
  const kernel::TempFolder temp;
  const base::Path file = temp.File("profile.json", R"({"defaultAction":"SCMP_ACT_LOG"})");
  const auto mapped = MapSeccomp(WithType(cri::SecurityProfile::Localhost, file), {});
  ASSERT_TRUE(mapped && *mapped) << ErrorOf(mapped);
  EXPECT_EQ((*mapped)->default_action, "SCMP_ACT_LOG");
  cri::LinuxContainerSecurityContext old;
  old.set_seccomp_profile_path("localhost/" + file.native());
  const auto same = MapSeccomp(old, {});
  ASSERT_TRUE(same && *same);
  EXPECT_EQ((*same)->default_action, "SCMP_ACT_LOG");
}

TEST(Seccomp, ProfileThatIsNoSmallFileIsRefusedWithoutWaiting) {
  const kernel::TempFolder temp;
  const base::Path fifo = temp / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const base::Path huge = temp.File("huge");
  ASSERT_EQ(truncate(huge.c_str(), 1 << 30), 0);
  for (const base::Path& path : {fifo, huge, temp.path()}) {
    const auto mapped = MapSeccomp(WithType(cri::SecurityProfile::Localhost, path), {});
    ASSERT_FALSE(mapped) << path;
    EXPECT_EQ(mapped.error().code, base::Code::kInvalidArgument);
  }
}

TEST(Seccomp, NewFieldWinsOverTheOld) {
  auto security = WithType(cri::SecurityProfile::Unconfined);
  security.set_seccomp_profile_path("nonsense");
  const auto mapped = MapSeccomp(security, {});
  ASSERT_TRUE(mapped);
  EXPECT_FALSE(*mapped);
}

TEST(Seccomp, EveryArchitectureThatTheKernelRunsIsFiltered) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(DefaultArchitectures("amd64"), (Words{"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"}));
  EXPECT_EQ(DefaultArchitectures("arm64"), (Words{"SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64"}));
  EXPECT_EQ(DefaultArchitectures("s390x"), (Words{"SCMP_ARCH_S390", "SCMP_ARCH_S390X"}));
  EXPECT_EQ(DefaultArchitectures("riscv64"), Words{});
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

// How many of one rule's variants stay: `conditions` is the inside of the rule.
size_t Kept(const std::string& conditions, const std::vector<std::string>& capabilities = {},
            SeccompHost host = kHost) {
  const auto profile = ParseSeccompProfile(
      R"({"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW",)" + conditions +
          "}]}",
      capabilities, host);
  EXPECT_TRUE(profile) << ErrorOf(profile);
  return profile ? profile->syscalls.size() : 99;
}

TEST(SeccompProfile, EachConditionAloneDecides) {
  const std::vector<std::string> granted = {"CAP_A", "CAP_B"};
  EXPECT_EQ(Kept(R"("includes":{"caps":["CAP_A","CAP_B"]})", granted), 1u);
  EXPECT_EQ(Kept(R"("includes":{"caps":["CAP_A","CAP_C"]})", granted), 0u);
  EXPECT_EQ(Kept(R"("excludes":{"caps":["CAP_C"]})", granted), 1u);
  EXPECT_EQ(Kept(R"("excludes":{"caps":["CAP_C","CAP_A"]})", granted), 0u);
  for (const char* arch : {"amd64", "x86_64"}) {
    EXPECT_EQ(Kept(std::string(R"("includes":{"arches":["s390",")") + arch + R"("]})"), 1u) << arch;
    EXPECT_EQ(Kept(std::string(R"("excludes":{"arches":[")") + arch + R"("]})"), 0u) << arch;
  }
  EXPECT_EQ(Kept(R"("includes":{"arches":["arm64"]})"), 0u);
  EXPECT_EQ(Kept(R"("includes":{"arches":["aarch64"]})", {}, {.architecture = "arm64"}), 1u);
  EXPECT_EQ(Kept(R"("includes":{"minKernel":"6.1"})"), 1u);
  EXPECT_EQ(Kept(R"("includes":{"minKernel":"5.99"})"), 1u);
  EXPECT_EQ(Kept(R"("includes":{"minKernel":"6.2"})"), 0u);
  EXPECT_EQ(Kept(R"("includes":{"minKernel":"7.0"})"), 0u);
  EXPECT_EQ(Kept(R"("excludes":{"minKernel":"6.1"})"), 0u);
  EXPECT_EQ(Kept(R"("includes":{},"excludes":null)"), 1u);
}

TEST(SeccompProfile, PlainOciFormIsKeptWhole) {
  const auto profile = ParseSeccompProfile(
      R"({"defaultAction":"SCMP_ACT_KILL_PROCESS","defaultErrnoRet":38,"architectures":["SCMP_ARCH_X86"],
    "flags":["SECCOMP_FILTER_FLAG_LOG"],"listenerPath":"/l","listenerMetadata":"m","syscalls":[{"name":"clone","action":"SCMP_ACT_NOTIFY",
    "errnoRet":1,"args":[{"index":5,"value":18446744073709551615,"valueTwo":2,"op":"SCMP_CMP_MASKED_EQ"}]}]})",
      {}, kHost);
  ASSERT_TRUE(profile) << ErrorOf(profile);
  EXPECT_EQ(profile->default_action, "SCMP_ACT_KILL_PROCESS");
  EXPECT_EQ(profile->default_errno_ret, 38u);
  EXPECT_EQ(profile->architectures, std::vector<std::string>{"SCMP_ARCH_X86"});
  EXPECT_EQ(profile->flags, std::vector<std::string>{"SECCOMP_FILTER_FLAG_LOG"});
  EXPECT_EQ(profile->listener_path, "/l");
  EXPECT_EQ(profile->listener_metadata, "m");
  const oci::SeccompRule& rule = profile->syscalls.at(0);
  EXPECT_EQ(rule.names, std::vector<std::string>{"clone"});
  EXPECT_EQ(rule.errno_ret, 1u);
  EXPECT_EQ(rule.args.at(0).index, 5u);
  EXPECT_EQ(rule.args.at(0).value, ~uint64_t{0});
  EXPECT_EQ(rule.args.at(0).value_two, 2u);
}

TEST(SeccompProfile, WhatIsNoProfileIsRefused) {
  const std::string rule =
      R"({"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[)";
  for (const std::string& text :
       {std::string(), std::string("[]"), std::string("{}"), std::string(R"({"defaultAction":1})"),
        std::string(R"({"defaultAction":"ALLOW"})"),
        std::string(R"({"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["read"]}]})"),
        std::string(R"({"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["read"],"action":"SCMP_ACT_NO"}]})"),
        std::string(R"({"defaultAction":"SCMP_ACT_NOTIFY"})"),
        std::string(R"({"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["read"],"action":"SCMP_ACT_NOTIFY"}]})"),
        std::string(R"({"defaultAction":"SCMP_ACT_LOG","syscalls":["read"]})"),
        std::string(R"({"defaultAction":"SCMP_ACT_LOG","defaultErrnoRet":-1})"),
        std::string(R"({"defaultAction":"SCMP_ACT_LOG","defaultErrnoRet":4096})"),
        rule + R"({"index":6,"op":"SCMP_CMP_EQ"}]}]})", rule + R"({"index":-1,"op":"SCMP_CMP_EQ"}]}]})",
        rule + R"({"index":4294967296,"op":"SCMP_CMP_EQ"}]}]})", rule + R"({"index":0,"op":"=="}]}]})",
        rule + R"({"index":0,"op":"SCMP_CMP_EQ","value":"1"}]}]})", rule + R"(1]}]})"}) {
    const auto profile = ParseSeccompProfile(text, {}, kHost);
    ASSERT_FALSE(profile) << text;
    EXPECT_EQ(profile.error().code, base::Code::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace berth::container
