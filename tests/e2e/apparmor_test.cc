// AppArmor on a node that has it: the default profile, named ones, none.
#include "base/child.h"
#include "base/strings.h"
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;

constexpr char kParser[] = "/usr/sbin/apparmor_parser";

class Apparmor : public OnRuntime {
 protected:
  void SetUp() override {
    if (base::ReadFile("/sys/module/apparmor/parameters/enabled").value_or("N") != "Y\n")
      GTEST_SKIP() << "this kernel has no AppArmor";
    if (!base::Exists("/sys/kernel/security/apparmor/profiles")) GTEST_SKIP() << "securityfs is not mounted";
    OnRuntime::SetUp();
  }
  Made RunWith(v1::SecurityProfile::ProfileType type, const std::string& name = {}) {
    return RunContainer(Sh("sleep 1000"), [&](v1::PodSandboxConfig&, v1::ContainerConfig& config) {
      auto* profile = config.mutable_linux()->mutable_security_context()->mutable_apparmor();
      profile->set_profile_type(type);
      profile->set_localhost_ref(name);
    });
  }
  std::string In(const Made& made, const std::string& script) {
    auto ran = cri().Exec(made.container, Sh(script));
    EXPECT_CALL_OK(ran);
    return ran->stdout();
  }
  // Of the first process and of an exec.
  std::string ProfileOf(const Made& made) { return In(made, "cat /proc/1/attr/current /proc/self/attr/current"); }
};
ON_EVERY_RUNTIME(Apparmor);

TEST_P(Apparmor, DefaultIsOurOwnProfile) {
  EXPECT_EQ(ProfileOf(RunWith(v1::SecurityProfile::RuntimeDefault)),
            "berth-default (enforce)\nberth-default (enforce)\n");
  EXPECT_EQ(ProfileOf(RunContainer(Sh("sleep 1000"))), "berth-default (enforce)\nberth-default (enforce)\n")
      << "with nothing asked for";
}

TEST_P(Apparmor, DefaultDeniesWhatCapabilitiesWouldAllow) {
  // All that guards these files but AppArmor is taken away.
  Made made = RunContainer(Sh("sleep 1000"), [](v1::PodSandboxConfig&, v1::ContainerConfig& config) {
    auto* security = config.mutable_linux()->mutable_security_context();
    security->mutable_apparmor()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
    security->mutable_capabilities()->add_add_capabilities("ALL");
    security->clear_masked_paths();
    security->clear_readonly_paths();
  });
  EXPECT_THAT(In(made, "mount -t tmpfs none /mnt 2>&1 || echo refused"), HasSubstr("refused"));
  EXPECT_THAT(In(made, "{ echo 1 > /proc/sys/vm/drop_caches; } 2>&1 || echo refused"), HasSubstr("refused"));
  EXPECT_THAT(In(made, "{ echo h > /proc/sysrq-trigger; } 2>&1 || echo refused"), HasSubstr("refused"));
  EXPECT_THAT(In(made, "cat /sys/kernel/security/apparmor/profiles 2>&1 || echo refused"), HasSubstr("refused"));
  // What a container may do, it does.
  EXPECT_EQ(In(made, "{ echo 1000 > /proc/sys/kernel/shmmni; } 2>&1 && cat /proc/sys/kernel/shmmni"), "1000\n");
  EXPECT_EQ(
      In(made,
         "echo 5 > /proc/self/oom_score_adj && echo file > /tmp/file && cat /tmp/file && kill -0 1 && echo killed"),
      "file\nkilled\n");
  ASSERT_CALL_OK(cri().Stop(made.container, 0));
}

TEST_P(Apparmor, UnconfinedIsNoProfile) {
  EXPECT_EQ(ProfileOf(RunWith(v1::SecurityProfile::Unconfined)), "unconfined\nunconfined\n");
}

TEST_P(Apparmor, NamedProfileMustBeLoaded) {
  auto pod_config = Pod();
  const std::string pod = RunPod(pod_config);
  auto config = Container(Sh("sleep 1000"));
  auto* profile = config.mutable_linux()->mutable_security_context()->mutable_apparmor();
  profile->set_profile_type(v1::SecurityProfile::Localhost);
  profile->set_localhost_ref("localhost/berth-e2e-missing");
  auto created = cri().Create(pod, config, pod_config);
  EXPECT_EQ(created.code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(created.message(), HasSubstr("berth-e2e-missing"));
}

TEST_P(Apparmor, NamedProfileIsApplied) {
  const auto parse = [](const std::string& option) {
    return base::Run(
        {.spawn = {.program = kParser,
                   .arguments = {"apparmor_parser", option},
                   .environment = {"PATH=/usr/sbin:/usr/bin"}},
         .input =
             "profile berth-e2e-named flags=(attach_disconnected) { file, signal, capability, deny /etc/group r, }\n"},
        base::Context().WithTimeout(std::chrono::seconds(60)));
  };
  auto loaded = parse("--replace");
  ASSERT_TRUE(loaded && loaded->exit.code == 0) << (loaded ? loaded->errors : loaded.error().Text());
  Made made = RunWith(v1::SecurityProfile::Localhost, "localhost/berth-e2e-named");
  EXPECT_EQ(ProfileOf(made), "berth-e2e-named (enforce)\nberth-e2e-named (enforce)\n");
  EXPECT_THAT(In(made, "cat /etc/group 2>&1 || echo refused"), HasSubstr("refused"));
  ASSERT_CALL_OK(cri().Stop(made.container, 0));
  auto removed = parse("--remove");
  EXPECT_TRUE(removed && removed->exit.code == 0);
}

}  // namespace
}  // namespace berth::e2e
