#include "container/spec.h"

#include <nlohmann/json.hpp>

#include "fixtures.h"

namespace berth::container {
namespace {

using Words = std::vector<std::string>;
using base::Code;

class SpecTest : public testing::Test {
 protected:
  base::Result<oci::Spec> Build() {
    kernel::ForeignPaths paths(WithHelper());
    return BuildSpec({.config = config_,
                      .pod = pod_,
                      .image = image_,
                      .user = user_,
                      .container_id = "c1",
                      .image_name = "registry/app:1",
                      .rootfs = "/run/berth/c1/rootfs",
                      .cgroups_path = "/kubepods/podu1/berth-c1",
                      .target_namespace = "/proc/77/ns/pid"},
                     options_, paths, kLong);
  }
  // "type path" of each namespace; an error's text alone.
  Words Namespaces() {
    const auto spec = Build();
    if (!spec) return {spec.error().message};
    Words out;
    for (const oci::Namespace& one : spec->namespaces)
      out.push_back(one.path.empty() ? one.type : one.type + " " + one.path);
    return out;
  }
  // "" or "code: message".
  std::string Check() {
    const base::Status status = CheckConfig(config_, pod_);
    return status ? "" : base::Cat(base::CodeName(status.error().code), ": ", status.error().message);
  }
  void ExpectRefused(Code code, const std::string& part) {
    const base::Status status = CheckConfig(config_, pod_);
    ASSERT_FALSE(status) << part;
    EXPECT_EQ(base::CodeName(status.error().code), base::CodeName(code)) << status.error().message;
    EXPECT_NE(status.error().message.find(part), std::string::npos) << status.error().message;
  }

  cri::ContainerConfig config_ = SomeContainer();
  Pod pod_ = SomePod();
  image::ImageConfig image_;
  User user_{.uid = 1000, .gid = 1000, .groups = {1000, 2000}};
  SpecOptions options_{.default_capabilities = {"CHOWN", "KILL"},
                       .own_capabilities = ~uint64_t{0},
                       .clamp_oom_score_adj = false,
                       .resources = {.cgroup_v2 = true, .swap_controller = true, .hugetlb_controller = true},
                       .mounts = {},
                       .oci_version = "1.0.2"};
};

TEST_F(SpecTest, WholeContainerIsTheGoldenFile) {
  image_.entrypoint = {"/bin/ignored"};
  image_.working_dir = "/srv";
  config_.add_args("--serve");
  config_.add_envs()->set_key("COLOUR");
  config_.mutable_envs(0)->set_value("blue");
  cri::Mount& mount = *config_.add_mounts();
  mount.set_container_path("/data");
  mount.set_host_path("/usr");
  mount.set_readonly(true);
  auto& security = Security(config_);
  security.mutable_capabilities()->add_drop_capabilities("ALL");
  security.mutable_capabilities()->add_add_capabilities("KILL");
  security.set_no_new_privs(true);
  security.set_readonly_rootfs(true);
  security.add_masked_paths("/proc/kcore");
  security.add_readonly_paths("/proc/sys");
  security.mutable_seccomp()->set_profile_type(cri::SecurityProfile::Unconfined);
  auto& resources = *config_.mutable_linux()->mutable_resources();
  resources.set_cpu_period(100000);
  resources.set_cpu_quota(10000);
  resources.set_cpu_shares(102);
  resources.set_memory_limit_in_bytes(64 << 20);
  resources.set_oom_score_adj(968);

  const auto spec = Build();
  ASSERT_TRUE(spec) << ErrorOf(spec);
  const auto golden = nlohmann::json::parse(kernel::Contents(BERTH_GOLDEN_SPEC));
  const auto ours = nlohmann::json::parse(oci::ToJson(*spec));
  EXPECT_EQ(ours, golden) << nlohmann::json::diff(golden, ours).dump(1);
}

TEST_F(SpecTest, NamespacesArePodsOwnNewOrTheHosts) {
  const Words pods = {"mount", "network /run/netns/berth-p1", "uts /run/berth/p1/ns/uts", "ipc /run/berth/p1/ns/ipc"};
  const auto with = [&](const Words& more) {
    Words out = pods;
    out.insert(out.end(), more.begin(), more.end());
    return out;
  };
  auto& wanted = *Security(config_).mutable_namespace_options();
  EXPECT_EQ(Namespaces(), with({"pid", "cgroup"}));
  wanted.set_pid(cri::TARGET);
  EXPECT_EQ(Namespaces(), with({"pid /proc/77/ns/pid", "cgroup"}));
  pod_.pid_namespace = "/proc/5/ns/pid";
  wanted.set_pid(cri::POD);
  EXPECT_EQ(Namespaces(), with({"pid /proc/5/ns/pid", "cgroup"}));
  wanted.set_pid(cri::NODE);
  EXPECT_EQ(Namespaces(), with({"cgroup"}));
  Security(config_).set_privileged(true);
  EXPECT_EQ(Namespaces(), pods);
  Security(config_).set_privileged(false);
  options_.resources.cgroup_v2 = false;
  EXPECT_EQ(Namespaces(), pods);
  pod_.net_namespace = pod_.uts_namespace = pod_.ipc_namespace = base::Path();
  EXPECT_EQ(Namespaces(), Words{"mount"});
}

TEST_F(SpecTest, ContainerWithoutOptionsFollowsItsPod) {
  config_.mutable_linux()->clear_security_context();
  EXPECT_EQ(Namespaces().at(4), "pid");
  EXPECT_EQ(NamespacesOf(config_, pod_).pid(), cri::CONTAINER);
  pod_ = SomePod([](auto& pod) {
    pod.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(cri::POD);
  });
  pod_.pid_namespace = "/proc/5/ns/pid";
  EXPECT_EQ(Namespaces().at(4), "pid /proc/5/ns/pid");
}

TEST_F(SpecTest, PathsAreMaskedAsAskedAndByDefaultWhenNothingIsAsked) {
  auto spec = Build();
  ASSERT_TRUE(spec);
  EXPECT_TRUE(spec->masked_paths.empty());  // procMount Unmasked
  config_.mutable_linux()->clear_security_context();
  spec = Build();
  ASSERT_TRUE(spec);
  for (const char* path : {"/proc/kcore", "/sys/firmware", "/proc/keys"}) {
    EXPECT_EQ(std::count(spec->masked_paths.begin(), spec->masked_paths.end(), path), 1) << path;
  }
  EXPECT_EQ(spec->readonly_paths, (Words{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}));
}

TEST_F(SpecTest, PrivilegedHasNoFilterNoMaskAndAllDevices) {
  auto& security = Security(config_);
  security.set_privileged(true);
  security.mutable_seccomp();  // RuntimeDefault
  security.add_masked_paths("/proc/kcore");
  security.add_readonly_paths("/proc/sys");
  const auto spec = Build();
  ASSERT_TRUE(spec) << ErrorOf(spec);
  EXPECT_FALSE(spec->seccomp);
  EXPECT_TRUE(spec->masked_paths.empty() && spec->readonly_paths.empty());
  EXPECT_TRUE(spec->resources.devices.at(0).allow);
  EXPECT_FALSE(spec->process.no_new_privileges);
}

TEST_F(SpecTest, SeccompDependsOnWhatIsGranted) {
  Security(config_).mutable_seccomp();
  const auto may_mount = [](const oci::Spec& spec) {
    return std::any_of(spec.seccomp->syscalls.begin(), spec.seccomp->syscalls.end(),
                       [](const auto& rule) { return rule.names == Words{"mount"}; });
  };
  auto spec = Build();
  ASSERT_TRUE(spec && spec->seccomp);
  EXPECT_FALSE(may_mount(*spec));
  Security(config_).mutable_capabilities()->add_add_capabilities("SYS_ADMIN");
  spec = Build();
  ASSERT_TRUE(spec && spec->seccomp);
  EXPECT_TRUE(may_mount(*spec));
}

TEST_F(SpecTest, OomScoreIsCheckedBeforeItIsNarrowed) {
  auto& resources = *config_.mutable_linux()->mutable_resources();
  for (const int64_t bad : {int64_t{1001}, int64_t{-1001}, int64_t{1} << 32}) {
    resources.set_oom_score_adj(bad);
    EXPECT_EQ(ErrorOf(Build()), base::Cat("oom_score_adj ", bad, " is out of range"));
  }
  resources.set_oom_score_adj(-1000);
  auto spec = Build();
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->process.oom_score_adj, -1000);
  config_.mutable_linux()->clear_resources();
  spec = Build();
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->process.oom_score_adj, std::nullopt);
}

TEST_F(SpecTest, AnnotationsOfRequestsNeedTheHandlersLeave) {
  (*config_.mutable_annotations())["io.tool/own"] = "container";
  (*config_.mutable_annotations())["run.oci.keep_original_groups"] = "1";
  (*config_.mutable_annotations())["io.kubernetes.cri.sandbox-id"] = "forged";
  pod_ = SomePod([](auto& pod) {
    (*pod.mutable_annotations())["io.tool/own"] = "pod";
    (*pod.mutable_annotations())["io.tool/pods"] = "pod";
  });
  auto spec = Build();
  ASSERT_TRUE(spec);
  for (const auto& [key, value] : spec->annotations) {
    EXPECT_FALSE(key.starts_with("io.tool/") || key == "run.oci.keep_original_groups") << key;
  }
  options_.handler = {.annotations = {{"io.tool/pods", "default"}, {"io.tool/more", "default"}},
                      .allowed_annotations = {"io.tool/*", "io.kubernetes.*"}};
  spec = Build();
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->annotations.at("io.tool/own"), "container") << "its word counts more than its pod's";
  EXPECT_EQ(spec->annotations.at("io.tool/pods"), "pod") << "and a request's more than the default";
  EXPECT_EQ(spec->annotations.at("io.tool/more"), "default");
  EXPECT_EQ(spec->annotations.at("io.kubernetes.cri.sandbox-id"), "p1") << "what the daemon says stays";
  EXPECT_FALSE(spec->annotations.contains("run.oci.keep_original_groups"));
}

TEST_F(SpecTest, LimitsOfProcessesAreTheConfigurations) {
  options_.rlimits = {{.type = "RLIMIT_NOFILE", .hard = 4096, .soft = 1024}};
  const auto spec = Build();
  ASSERT_TRUE(spec);
  const auto process = nlohmann::json::parse(oci::ToJson(spec->process));
  EXPECT_EQ(process["rlimits"].dump(), R"([{"hard":4096,"soft":1024,"type":"RLIMIT_NOFILE"}])");
}

TEST_F(SpecTest, SystemdIsKnownByItsNameAndToldWhereItIs) {
  options_.resources.cgroup_v2 = options_.mounts.cgroup_v2 = true;
  const auto told = [&](const std::string& program, bool systemd_containers) {
    config_.clear_command();
    config_.add_command(program);
    options_.handler.systemd_containers = systemd_containers;
    const auto spec = Build();
    EXPECT_TRUE(spec);
    const bool env = spec && std::ranges::count(spec->process.env, "container=oci") == 1;
    const bool journal = spec && std::ranges::count(spec->mounts, "/var/log/journal", &oci::Mount::destination) == 1;
    EXPECT_EQ(env, journal) << program;
    return env;
  };
  for (const char* program : {"/sbin/init", "/usr/sbin/init", "/lib/systemd/systemd", "systemd"}) {
    EXPECT_TRUE(told(program, true)) << program;
    EXPECT_FALSE(told(program, false)) << program;
  }
  for (const char* program : {"/bin/sh", "/usr/bin/systemd-run", "init"}) EXPECT_FALSE(told(program, true)) << program;
}

TEST_F(SpecTest, OrdinaryRequestPassesTheCheck) {
  EXPECT_EQ(Check(), "");
  config_.set_log_path("app/..0.log");
  config_.set_stdin_once(true);  // the kubelet passes it on without stdin
  EXPECT_EQ(Check(), "");
}

TEST_F(SpecTest, MissingNamesAreRefused) {
  config_.mutable_metadata()->clear_name();
  ExpectRefused(Code::kInvalidArgument, "metadata.name");
  config_ = SomeContainer();
  config_.clear_image();
  ExpectRefused(Code::kInvalidArgument, "config.image");
}

TEST_F(SpecTest, LogThatLeavesItsFolderIsRefused) {
  for (const std::string& path : {std::string("/etc/passwd"), std::string("../x"), std::string("a/../../x"),
                                  std::string(".."), std::string("a\0b", 3)}) {
    config_.set_log_path(path);
    ExpectRefused(Code::kInvalidArgument, "log_path");
  }
}

TEST_F(SpecTest, NamespacesThatDifferFromThePodsAreRefused) {
  auto& wanted = *Security(config_).mutable_namespace_options();
  const auto reset = [&] {
    wanted.Clear();
    wanted.set_pid(cri::CONTAINER);
  };
  wanted.set_network(cri::NODE);
  ExpectRefused(Code::kInvalidArgument, "network");
  reset();
  wanted.set_ipc(cri::NODE);
  ExpectRefused(Code::kInvalidArgument, "ipc");
  reset();
  for (const auto mode : {cri::POD, cri::NODE}) {
    wanted.set_pid(mode);
    ExpectRefused(Code::kInvalidArgument, "pid");
  }
  wanted.set_pid(static_cast<cri::NamespaceMode>(9));
  ExpectRefused(Code::kInvalidArgument, "namespace_options.pid 9 is unknown");
  wanted.set_pid(cri::TARGET);
  ExpectRefused(Code::kInvalidArgument, "target_id is missing");
  wanted.set_target_id("c0");
  EXPECT_EQ(Check(), "");
  wanted.set_pid(cri::CONTAINER);
  ExpectRefused(Code::kInvalidArgument, "target_id is for pid TARGET alone");
}

TEST_F(SpecTest, WindowsIsRefused) {
  config_.mutable_windows();
  ExpectRefused(Code::kInvalidArgument, "config.windows");
}

TEST_F(SpecTest, PrivilegedNeedsAPrivilegedPod) {
  Security(config_).set_privileged(true);
  ExpectRefused(Code::kInvalidArgument, "not privileged");
  pod_ = SomePod([](auto& pod) { pod.mutable_linux()->mutable_security_context()->set_privileged(true); });
  EXPECT_EQ(Check(), "");
}

TEST_F(SpecTest, UserNamespaceIsThePods) {
  const auto set = [](cri::UserNamespace& user, uint32_t host) {
    user.set_mode(cri::POD);
    for (cri::IDMapping* range : {user.add_uids(), user.add_gids()}) {
      range->set_host_id(host);
      range->set_length(65536);
    }
  };
  auto& own = *Security(config_).mutable_namespace_options()->mutable_userns_options();
  set(own, 100000);
  ExpectRefused(Code::kInvalidArgument, "userns_options differ");
  pod_ = SomePod([&](auto& pod) {
    set(*pod.mutable_linux()->mutable_security_context()->mutable_namespace_options()->mutable_userns_options(),
        200000);
  });
  ExpectRefused(Code::kInvalidArgument, "userns_options differ");
  own.mutable_uids(0)->set_host_id(200000);
  own.mutable_gids(0)->set_host_id(200000);
  EXPECT_EQ(Check(), "");

  pod_.user_namespace = {.path = "/run/berth/p1/ns/user",
                         .map = {.uids = {.host = 200000, .size = 65536}, .gids = {.host = 200000, .size = 65536}},
                         .images = {}};
  const auto spec = Build();
  ASSERT_TRUE(spec);
  EXPECT_EQ(Namespaces().at(1), "user /run/berth/p1/ns/user");
  ASSERT_EQ(spec->uid_mappings.size(), 1U);
  EXPECT_EQ(spec->uid_mappings[0].host_id, 200000U);
  EXPECT_EQ(spec->gid_mappings[0].size, 65536U);
  own.set_mode(cri::NODE);
  ExpectRefused(Code::kInvalidArgument, "userns_options differ");
}

TEST_F(SpecTest, DevicesByNameHaveTheFormOfNames) {
  config_.add_cdi_devices()->set_name("vendor/class");
  ExpectRefused(Code::kInvalidArgument, "CDI_devices");
  config_.clear_cdi_devices();
  (*config_.mutable_annotations())["cdi.k8s.io/x"] = "vendor/class";
  ExpectRefused(Code::kInvalidArgument, "cdi.k8s.io/");
}

TEST_F(SpecTest, BadSeccompProfileFailsTheContainer) {
  Security(config_).mutable_seccomp()->set_profile_type(cri::SecurityProfile::Localhost);
  Security(config_).mutable_seccomp()->set_localhost_ref("/no/such/profile.json");
  EXPECT_NE(ErrorOf(Build()).find("/no/such/profile.json"), std::string::npos);
}

}  // namespace
}  // namespace berth::container
