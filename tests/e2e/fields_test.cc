// What a request asks for, looked at from inside the container: identity, capabilities, mounts, namespaces, devices,
// security.
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>

#include "base/strings.h"
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using base::Cat;
using base::Path;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class Fields : public OnRuntime {
 protected:
  using Change = std::function<void(v1::PodSandboxConfig&, v1::ContainerConfig&)>;

  // What a script writes to stdout in a container of its own.
  std::string Inside(const std::string& script, const Change& change = {}) {
    const Made made = RunContainer(Sh(script), change);
    WaitExited(made.container);
    EXPECT_EQ(LogText(made.log(), "stderr"), "");
    return LogText(made.log());
  }
  std::string InsideAs(const std::string& script,
                       const std::function<void(v1::LinuxContainerSecurityContext&)>& change) {
    return Inside(script, [&](auto&, v1::ContainerConfig& config) {
      change(*config.mutable_linux()->mutable_security_context());
    });
  }
  // CreateContainer's error; the container must not be made.
  std::string Refusal(const Change& change) {
    v1::PodSandboxConfig pod_config = Pod();
    v1::ContainerConfig config = OnNode::Container(Sh("true"));
    change(pod_config, config);
    const std::string pod = RunPod(pod_config);
    const auto created = cri().Create(pod, config, pod_config);
    EXPECT_FALSE(created.ok());
    EXPECT_EQ(created.code(), grpc::StatusCode::INVALID_ARGUMENT) << created.message();
    return created.message();
  }
  static v1::Mount& AddMount(v1::ContainerConfig& config, const Path& host, const std::string& container) {
    v1::Mount& mount = *config.add_mounts();
    mount.set_host_path(host.string());
    mount.set_container_path(container);
    return mount;
  }
  // A folder of this test that is a mount of its own, shared with the daemon's namespace and what hears of it.
  Path SharedFolder() {
    const Path path = folder() / "shared";
    EXPECT_TRUE(base::MakeDirs(path));
    EXPECT_EQ(::mount("tmpfs", path.c_str(), "tmpfs", 0, nullptr), 0);
    EXPECT_EQ(::mount(nullptr, path.c_str(), nullptr, MS_SHARED, nullptr), 0);
    mounted_.push_back(path);
    return path;
  }
  void TearDown() override {
    OnRuntime::RemoveEverything();
    for (auto path = mounted_.rbegin(); path != mounted_.rend(); ++path)
      EXPECT_EQ(::umount2(path->c_str(), MNT_DETACH), 0);
    OnRuntime::TearDown();
  }
  static std::string OwnNamespace(const std::string& kind) {
    return std::filesystem::read_symlink("/proc/self/ns/" + kind).string() + "\n";
  }

  std::vector<Path> mounted_;
};
ON_EVERY_RUNTIME(Fields);

// --- the process

TEST_P(Fields, StrictGroupsAreThoseOfTheRequestAlone) {
  const auto groups = [&](v1::SupplementalGroupsPolicy policy) {
    return InsideAs("id -G", [&](v1::LinuxContainerSecurityContext& security) {
      security.mutable_run_as_user()->set_value(1000);
      security.add_supplemental_groups(3000);
      security.set_supplemental_groups_policy(policy);
    });
  };
  EXPECT_EQ(groups(v1::Strict), "1000 3000\n");
  EXPECT_EQ(groups(v1::Merge), "1000 2000 3000\n");
}

TEST_P(Fields, UserIsANameOfTheImageOrANumberItNeedNotKnow) {
  EXPECT_EQ(InsideAs("id -u; id -g",
                     [](auto& security) {
                       security.clear_run_as_user();
                       security.set_run_as_username("user");
                     }),
            "1000\n1000\n");
  EXPECT_EQ(
      InsideAs("id -u; id -g; echo $HOME", [](auto& security) { security.mutable_run_as_user()->set_value(4321); }),
      "4321\n0\n/\n");
}

TEST_P(Fields, CapabilitiesByDefaultAreFourteenInThreeSets) {
  EXPECT_EQ(Inside("grep Cap /proc/self/status | cut -f2"),
            "0000000000000000\n00000000a80425fb\n00000000a80425fb\n00000000a80425fb\n0000000000000000\n");
}

TEST_P(Fields, AmbientCapabilityReachesAProcessThatIsNotRoot) {
  const auto sets = [&](bool ambient) {
    return InsideAs("grep -E 'CapEff|CapAmb' /proc/self/status | cut -f2",
                    [&](v1::LinuxContainerSecurityContext& security) {
                      security.mutable_run_as_user()->set_value(1000);
                      security.mutable_capabilities()->add_add_capabilities("NET_BIND_SERVICE");
                      if (ambient) security.mutable_capabilities()->add_add_ambient_capabilities("NET_BIND_SERVICE");
                    });
  };
  EXPECT_EQ(sets(false), "0000000000000000\n0000000000000000\n");
  EXPECT_EQ(sets(true), "0000000000000400\n0000000000000400\n");
}

TEST_P(Fields, NoNewPrivilegesAndOomScoreAreTheRequests) {
  EXPECT_EQ(Inside("grep NoNewPrivs /proc/self/status | cut -f2; cat /proc/self/oom_score_adj",
                   [](auto&, v1::ContainerConfig& config) {
                     config.mutable_linux()->mutable_security_context()->set_no_new_privs(true);
                     config.mutable_linux()->mutable_resources()->set_oom_score_adj(997);
                   }),
            "1\n997\n");
  EXPECT_EQ(Inside("grep NoNewPrivs /proc/self/status | cut -f2"), "0\n");
}

TEST_P(Fields, UmaskIsTheUsualWhateverTheDaemonsIs) {
  const mode_t before = umask(077);
  Restart();
  umask(before);
  const Made made = RunContainer(Sh("umask; exec sleep 1000"));
  EXPECT_TRUE(Eventually([&] { return LogText(made.log()) == "0022\n"; })) << LogText(made.log());
  EXPECT_EQ(cri().Exec(made.container, Sh("umask"))->stdout(), "0022\n");
}

TEST_P(Fields, EnvironmentIsTheRequestsOverTheImages) {
  const auto odd = [](const std::string& value) {
    return [value](auto&, v1::ContainerConfig& config) {
      config.add_envs()->set_key("ODD");
      config.mutable_envs(config.envs_size() - 1)->set_value(value);
    };
  };
  EXPECT_EQ(Inside("echo \"$ODD\"; echo $HOSTNAME; echo $PATH; echo $HOME", odd("caf\u00e9 = \"x\"\n")),
            "caf\u00e9 = \"x\"\n\npod\n/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n/root\n");
  // No config.json can hold it, and replaced it would not be what was asked for.
  EXPECT_THAT(Refusal(odd("caf\xe9")), AllOf(HasSubstr("envs"), HasSubstr("ODD"), HasSubstr("UTF-8")));
}

TEST_P(Fields, StopSignalOfTheRequestWinsOverTheImages) {
  const Made made =
      RunContainer(Sh("trap 'exit 9' USR2; trap 'exit 8' TERM; echo ready; while :; do sleep 0.05; done"),
                   [](auto&, v1::ContainerConfig& config) { config.set_stop_signal(v1::SIGNAL_SIGUSR2); });
  ASSERT_TRUE(Eventually([&] { return LogText(made.log()) == "ready\n"; }));
  EXPECT_EQ(cri().Status(made.container)->status().stop_signal(), v1::SIGNAL_SIGUSR2);
  ASSERT_CALL_OK(cri().Stop(made.container, 20));
  EXPECT_EQ(cri().Status(made.container)->status().exit_code(), 9);
}

// --- mounts

TEST_P(Fields, MountTableIsTheDefaultOne) {
  // Place, file system and, of the options, what a container may do there.
  const std::string table = Inside(
      "awk '{ for (i = 7; $i != \"-\"; i++); print $5, $(i + 1), $6 }' /proc/self/mountinfo | grep -E "
      "'^/(proc|dev|dev/pts|dev/mqueue|dev/shm|sys|etc/resolv.conf|etc/hostname) '");
  for (const char* line :
       {"/proc proc rw,nosuid,nodev,noexec,relatime\n", "/dev tmpfs rw,nosuid\n",
        "/dev/pts devpts rw,nosuid,noexec,relatime\n", "/dev/mqueue mqueue rw,nosuid,nodev,noexec,relatime\n",
        "/sys sysfs ro,nosuid,nodev,noexec,relatime\n"}) {
    EXPECT_THAT(table, HasSubstr(line));
  }
  EXPECT_THAT(table, AllOf(HasSubstr("/dev/shm tmpfs rw,nosuid,nodev,noexec"), HasSubstr("/etc/resolv.conf "),
                           HasSubstr("/etc/hostname ")));
  EXPECT_EQ(Inside("df -k /dev/shm | awk 'NR==2 { print $2 }'; stat -c %a /dev/shm"), "65536\n1777\n");
}

TEST_P(Fields, PropagationGoesTheWaysThatWereAskedFor) {
  const Path shared = SharedFolder();
  for (const char* name : {"private", "slave", "shared"}) ASSERT_STATUS_OK(base::MakeDirs(shared / name));
  const Made made = RunContainer(
      Sh("mkdir -p /shared/shared/inner && mount -t tmpfs made /shared/shared/inner && echo ready; sleep 1000"),
      [&](v1::PodSandboxConfig& pod, v1::ContainerConfig& config) {
        pod.mutable_linux()->mutable_security_context()->set_privileged(true);
        config.mutable_linux()->mutable_security_context()->set_privileged(true);
        AddMount(config, shared, "/private");
        AddMount(config, shared, "/slave").set_propagation(v1::PROPAGATION_HOST_TO_CONTAINER);
        AddMount(config, shared, "/shared").set_propagation(v1::PROPAGATION_BIDIRECTIONAL);
      });
  ASSERT_TRUE(Eventually([&] { return LogText(made.log()) == "ready\n"; })) << LogText(made.log(), "stderr");
  // What the container mounted is here, and goes with it or by us.
  const auto holds = [](const Path& path, const std::string& text) {
    const auto mounts = base::ReadFile("/proc/self/mountinfo");
    return mounts && mounts->find(Cat(" ", path.string(), " ")) != std::string::npos &&
           mounts->find(text) != std::string::npos;
  };
  EXPECT_TRUE(holds(shared / "shared/inner", "made"));
  mounted_.push_back(shared / "shared/inner");
  // What is mounted here now is in the container at the slave and the shared place alone.
  ASSERT_EQ(::mount("tmpfs", (shared / "slave").c_str(), "tmpfs", 0, nullptr), 0);
  mounted_.push_back(shared / "slave");
  const auto seen = cri().Exec(
      made.container, Sh("for i in private slave shared; do grep -c \" /$i/slave \" /proc/self/mountinfo; done; true"));
  ASSERT_CALL_OK(seen);
  EXPECT_EQ(seen->stdout(), "0\n1\n1\n");
}

TEST_P(Fields, PropagationOfAPrivateMountIsRefused) {
  const Path shared = SharedFolder();
  ASSERT_EQ(::mount(nullptr, shared.c_str(), nullptr, MS_PRIVATE, nullptr), 0);
  for (const auto kind : {v1::PROPAGATION_HOST_TO_CONTAINER, v1::PROPAGATION_BIDIRECTIONAL}) {
    EXPECT_THAT(
        Refusal([&](auto&, v1::ContainerConfig& config) { AddMount(config, shared, "/in").set_propagation(kind); }),
        AllOf(HasSubstr("mount /in"), HasSubstr(shared.string()), HasSubstr("not a shared")));
  }
}

TEST_P(Fields, ReadonlyIsOfTheMountOrRecursiveOfAllBelow) {
  const Path outer = SharedFolder();
  ASSERT_STATUS_OK(base::MakeDirs(outer / "inner"));
  ASSERT_EQ(::mount("tmpfs", (outer / "inner").c_str(), "tmpfs", 0, nullptr), 0);
  mounted_.push_back(outer / "inner");
  const std::string script = "for i in . inner; do touch /in/$i/new 2>/dev/null && echo written || echo refused; done";
  EXPECT_EQ(
      Inside(script, [&](auto&, v1::ContainerConfig& config) { AddMount(config, outer, "/in").set_readonly(true); }),
      "refused\nwritten\n");
  const auto recursive = [&](auto&, v1::ContainerConfig& config) {
    AddMount(config, outer, "/in").set_readonly(true);
    config.mutable_mounts(0)->set_recursive_read_only(true);
  };
  const auto status = cri().Call(&v1::RuntimeService::Stub::Status, v1::StatusRequest());
  ASSERT_CALL_OK(status);
  bool known = false;
  for (const auto& handler : status->runtime_handlers()) {
    if (handler.name() == GetParam()) known = handler.features().recursive_read_only_mounts();
  }
  if (known) {
    EXPECT_EQ(Inside(script, recursive), "refused\nrefused\n");
  } else {
    EXPECT_THAT(Refusal(recursive), HasSubstr("RROUnsupported"));
  }
}

TEST_P(Fields, MountOptionsNarrowWhatCanBeDone) {
  ASSERT_STATUS_OK(base::WriteFile(folder() / "script", "#!/bin/sh\necho ran\n", 0755));
  const std::string script = "/in 2>/dev/null && true; echo $?";
  EXPECT_EQ(Inside(script, [&](auto&, v1::ContainerConfig& config) { AddMount(config, folder() / "script", "/in"); }),
            "ran\n0\n");
  EXPECT_EQ(Inside(script,
                   [&](auto&, v1::ContainerConfig& config) {
                     AddMount(config, folder() / "script", "/in").add_mount_options("noexec");
                   }),
            "126\n");
  EXPECT_THAT(Refusal([&](auto&, v1::ContainerConfig& config) {
                AddMount(config, folder() / "script", "/in").add_mount_options("suid");
              }),
              AllOf(HasSubstr("mount_options"), HasSubstr("suid")));
}

TEST_P(Fields, HostPathMayBeALinkAndMountsMayHoldEachOther) {
  ASSERT_STATUS_OK(base::MakeDirs(folder() / "real"));
  ASSERT_STATUS_OK(base::WriteFile(folder() / "real/file", "real\n"));
  ASSERT_STATUS_OK(base::WriteFile(folder() / "other", "other\n"));
  std::filesystem::create_directory_symlink(folder() / "real", folder() / "link");
  EXPECT_EQ(Inside("cat /in/file /in/deep/er",
                   [&](auto&, v1::ContainerConfig& config) {
                     AddMount(config, folder() / "other", "/in/deep/er");  // given first, and yet below
                     AddMount(config, folder() / "link", "/in");
                   }),
            "real\nother\n");
}

TEST_P(Fields, LinksOfAnImageLeadNowhereOutsideOfIt) {
  ASSERT_CALL_OK(cri().Pull(Image("links:1")));
  ExpectImagesToChange();
  ASSERT_STATUS_OK(base::WriteFile(folder() / "file", "mounted\n"));
  const std::string script =
      "pwd; cat /data/in/file /up/in/file; ls /var/berth-e2e-escape; grep -c localhost /etc/hosts";
  EXPECT_EQ(Inside(script,
                   [&](auto&, v1::ContainerConfig& config) {
                     config.mutable_image()->set_image(Image("links:1"));
                     AddMount(config, folder(), "/data/in");
                     AddMount(config, folder() / "file", "/up/file");
                   }),
            "/var/berth-e2e-escape/work\nmounted\nmounted\nfile\nhosts\nin\nresolv.conf\nvolume\nwork\n2\n");
  EXPECT_FALSE(base::Exists("/var/berth-e2e-escape"));
}

TEST_P(Fields, FileMayBeMountedWhereTheImageHasAVolume) {
  ASSERT_CALL_OK(cri().Pull(Image("links:1")));
  ExpectImagesToChange();
  ASSERT_STATUS_OK(base::WriteFile(folder() / "file", "mounted\n"));
  EXPECT_EQ(Inside("cat /data/volume",
                   [&](auto&, v1::ContainerConfig& config) {
                     config.mutable_image()->set_image(Image("links:1"));
                     AddMount(config, folder() / "file", "/data/volume");
                   }),
            "mounted\n");
}

// --- namespaces

TEST_P(Fields, HostNamespacesAreTheHosts) {
  const std::string kinds = "for i in net ipc uts pid; do readlink /proc/self/ns/$i; done";
  EXPECT_EQ(
      Inside(kinds,
             [](v1::PodSandboxConfig& pod, v1::ContainerConfig& config) {
               for (auto* options : {pod.mutable_linux()->mutable_security_context()->mutable_namespace_options(),
                                     config.mutable_linux()->mutable_security_context()->mutable_namespace_options()}) {
                 options->set_network(v1::NODE);
                 options->set_ipc(v1::NODE);
                 options->set_pid(v1::NODE);
               }
               pod.clear_hostname();
             }),
      OwnNamespace("net") + OwnNamespace("ipc") + OwnNamespace("uts") + OwnNamespace("pid"));
  const std::string own = Inside(kinds);
  for (const char* kind : {"net", "ipc", "uts", "pid"}) EXPECT_THAT(own, Not(HasSubstr(OwnNamespace(kind))));
}

TEST_P(Fields, DebugContainerSeesTheProcessesOfItsTarget) {
  const Made target = RunContainer({"sleep", "1000"});
  v1::ContainerConfig debug = OnNode::Container(Sh("cat /proc/1/cmdline | tr '\\0' ' '; echo; echo $$"), "debugger");
  auto* options = debug.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  options->set_pid(v1::TARGET);
  options->set_target_id(target.container);
  const auto created = cri().Create(target.pod, debug, target.pod_config);
  ASSERT_CALL_OK(created);
  ASSERT_CALL_OK(cri().Start(created->container_id()));
  EXPECT_EQ(WaitExited(created->container_id()).exit_code(), 0);
  const std::string text = LogText(Path(target.pod_config.log_directory()) / debug.log_path());
  EXPECT_THAT(text, AllOf(HasSubstr("sleep 1000"), Not(HasSubstr("\n1\n"))));
  // The target goes on, and one that has ended takes no debugger.
  EXPECT_EQ(cri().Status(target.container)->status().state(), v1::CONTAINER_RUNNING);
  ASSERT_CALL_OK(cri().Stop(target.container, 0));
  debug.mutable_metadata()->set_attempt(1);
  EXPECT_THAT(cri().Create(target.pod, debug, target.pod_config).message(), HasSubstr("target_id"));
}

// --- devices

TEST_P(Fields, DeviceIsMadeAsAskedAndNothingElseOfTheHostIsThere) {
  const auto with_device = [](const std::string& permissions) {
    return [permissions](auto&, v1::ContainerConfig& config) {
      v1::Device& device = *config.add_devices();
      device.set_host_path("/dev/loop-control");
      device.set_container_path("/dev/mine");
      device.set_permissions(permissions);
    };
  };
  const std::string script =
      "stat -c '%t:%T' /dev/mine; (: < /dev/mine) 2>/dev/null && echo read; (: >> /dev/mine) 2>/dev/null || echo "
      "unwritable";
  EXPECT_EQ(Inside(script, with_device("r")), "a:ed\nread\nunwritable\n");
  EXPECT_EQ(Inside(script, with_device("rw")), "a:ed\nread\n");
  EXPECT_EQ(Inside("ls /dev | grep -c -E 'loop|kmsg|tty1|kvm'; true"), "0\n");
  // A node that the container makes for itself stays shut.
  EXPECT_EQ(Inside("mknod /made c 10 237 && (: < /made) 2>/dev/null || echo shut"), "shut\n");
}

TEST_P(Fields, WhatIsNoDeviceIsRefusedByName) {
  EXPECT_THAT(Refusal([](auto&, v1::ContainerConfig& config) { config.add_devices()->set_host_path("/etc/passwd"); }),
              AllOf(HasSubstr("/etc/passwd"), HasSubstr("not a device")));
}

// --- security

TEST_P(Fields, SeccompModeIsTheProfiles) {
  using Profile = v1::SecurityProfile;
  const std::string mode = "grep '^Seccomp:' /proc/self/status | cut -f2";
  const auto with = [](Profile::ProfileType type, const std::string& file = {}) {
    return [type, file](v1::LinuxContainerSecurityContext& security) {
      security.mutable_seccomp()->set_profile_type(type);
      security.mutable_seccomp()->set_localhost_ref(file);
    };
  };
  EXPECT_EQ(InsideAs(mode, with(Profile::Unconfined)), "0\n");
  EXPECT_EQ(InsideAs(mode, with(Profile::RuntimeDefault)), "2\n");
  EXPECT_EQ(InsideAs("unshare -m true 2>/dev/null || echo refused", with(Profile::RuntimeDefault)), "refused\n");
  ASSERT_STATUS_OK(base::WriteFile(folder() / "no-mkdir.json", R"({"defaultAction": "SCMP_ACT_ALLOW",
      "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]})"));
  EXPECT_EQ(InsideAs(mode + "; mkdir /new 2>&1", with(Profile::Localhost, (folder() / "no-mkdir.json").string())),
            "2\nmkdir: can't create directory '/new': Operation not supported\n");
}

TEST_P(Fields, MaskedPathsAreEmptyAndReadonlyOnesRefuseUnlessUnmasked) {
  const std::string script =
      "wc -c < /proc/keys; (echo 1 > /proc/sys/kernel/pid_max) 2>/dev/null || echo refused; grep -c ' /proc/[a-z]' "
      "/proc/self/mountinfo";
  EXPECT_THAT(Inside(script), StartsWith("0\nrefused\n"));
  EXPECT_THAT(InsideAs("grep -c ' /proc/[a-z]' /proc/self/mountinfo",
                       [](auto& security) {
                         security.clear_masked_paths();
                         security.clear_readonly_paths();
                       }),
              "0\n");
}

TEST_P(Fields, PrivilegedContainerIsConfinedByNothing) {
  const auto privileged = [](v1::PodSandboxConfig& pod, v1::ContainerConfig& config) {
    pod.mutable_linux()->mutable_security_context()->set_privileged(true);
    auto* security = config.mutable_linux()->mutable_security_context();
    security->set_privileged(true);
    security->mutable_seccomp()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
  };
  const std::string got = Inside(
      "grep CapBnd /proc/self/status | cut -f2; grep '^Seccomp:' /proc/self/status | cut -f2; grep -c ' /proc/[a-z]' "
      "/proc/self/mountinfo; "
      "awk '$5 == \"/sys\" { print substr($6, 1, 2) }' /proc/self/mountinfo; ls /dev | grep -x kmsg",
      privileged);
  const auto status = base::ReadFile("/proc/self/status");
  ASSERT_TRUE(status);
  const std::string own = status->substr(status->find("CapBnd:\t") + 8, 16);
  EXPECT_EQ(got, own + "\n0\n0\nrw\nkmsg\n");
}

// A mount of cgroup2 from the host's cgroup namespace would set its options for the whole system.
TEST_P(Fields, PrivilegedContainerLeavesTheHostsCgroupFileSystemAsItIs) {
  const auto options = [] {
    std::vector<std::string> out;
    const auto mounts = base::ReadFile("/proc/self/mountinfo");
    EXPECT_TRUE(mounts);
    for (const std::string_view line : base::Split(*mounts, '\n')) {
      if (const size_t type = line.find(" - cgroup2 "); type != std::string_view::npos)
        out.emplace_back(line.substr(type));
    }
    return out;
  };
  const auto before = options();
  const std::string got = Inside("awk '$5 == \"/sys/fs/cgroup\" { print substr($6, 1, 2) }' /proc/self/mountinfo",
                                 [](v1::PodSandboxConfig& pod, v1::ContainerConfig& config) {
                                   pod.mutable_linux()->mutable_security_context()->set_privileged(true);
                                   config.mutable_linux()->mutable_security_context()->set_privileged(true);
                                 });
  EXPECT_EQ(got.substr(0, 3), "rw\n") << got;
  EXPECT_EQ(options(), before);
}

TEST_P(Fields, ProcessIsInTheCgroupThatTheRequestNames) {
  const Made made = RunContainer({"sleep", "1000"});
  // From outside: with a cgroup namespace the container sees itself at the root.
  std::vector<pid_t> pids;
  // Start has answered once the runtime's process was told to become it.
  ASSERT_TRUE(Eventually([&] { return (pids = ProcessesNamed("sleep")).size() == 1; }));
  const auto groups = base::ReadFile(Cat("/proc/", pids.front(), "/cgroup"));
  ASSERT_TRUE(groups);
  EXPECT_THAT(*groups, AllOf(HasSubstr("kubepods"), HasSubstr(Cat("berth-", made.container))));
}

}  // namespace
}  // namespace berth::e2e
