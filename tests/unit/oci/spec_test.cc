#include "oci/spec.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace berth::oci {
namespace {

using nlohmann::json;

TEST(SpecJson, MinimalSpecHasOnlyWhatIsNeeded) {
  Spec spec;
  spec.process.args = {"/bin/true"};
  spec.process.cwd = "/";
  spec.root_path = "/run/rootfs";
  EXPECT_EQ(json::parse(ToJson(spec)), json::parse(R"({
    "ociVersion": "1.0.2",
    "process": {
      "terminal": false,
      "user": {"uid": 0, "gid": 0},
      "args": ["/bin/true"],
      "env": [],
      "cwd": "/",
      "capabilities": {"bounding": [], "effective": [], "permitted": [], "inheritable": [], "ambient": []},
      "noNewPrivileges": false
    },
    "root": {"path": "/run/rootfs", "readonly": false},
    "linux": {}
  })"));
}

TEST(SpecJson, ProcessIsWrittenWhole) {
  Process process{
      .terminal = true,
      .uid = 1000,
      .gid = 1001,
      .additional_gids = {5, 6},
      .umask = 18,
      .args = {"sh", "-c", "echo \"a\""},
      .env = {"A=1"},
      .cwd = "/work",
      .capabilities = {.bounding = {"CAP_CHOWN"}, .effective = {"CAP_KILL"}},
      .rlimits = {{.type = "RLIMIT_NOFILE", .hard = 2, .soft = 1}},
      .no_new_privileges = true,
      .apparmor_profile = "p",
      .selinux_label = "l",
      .oom_score_adj = 0,
  };
  EXPECT_EQ(json::parse(ToJson(process)), json::parse(R"({
    "terminal": true,
    "user": {"uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 18},
    "args": ["sh", "-c", "echo \"a\""],
    "env": ["A=1"],
    "cwd": "/work",
    "capabilities": {"bounding": ["CAP_CHOWN"], "effective": ["CAP_KILL"], "permitted": [], "inheritable": [], "ambient": []},
    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 2, "soft": 1}],
    "noNewPrivileges": true,
    "apparmorProfile": "p",
    "selinuxLabel": "l",
    "oomScoreAdj": 0
  })"));
}

TEST(SpecJson, EnvironmentThatIsNotUtf8DoesNotBreakTheDocument) {
  EXPECT_TRUE(json::accept(ToJson(Process{.env = {"A=\xff"}})));
}

TEST(SpecJson, ResourcesLeaveOutWhatIsNotSet) {
  EXPECT_EQ(ToJson(Resources{}), "{}");
}

TEST(SpecJson, ResourcesAreWrittenWhole) {
  const Resources resources{
      .devices = {{.allow = false}, {.allow = true, .type = "c", .major = 1, .minor = 3, .access = "rw"}},
      .memory_limit = 1LL << 40,
      .memory_reservation = 7,
      .memory_swap = -1,
      .cpu_shares = 1024,
      .cpu_quota = -1,
      .cpu_period = 100000,
      .cpuset_cpus = "0-1",
      .cpuset_mems = "0",
      .pids_limit = 100,
      .hugepage_limits = {{.page_size = "2MB", .limit = 0}},
      .block_io = {.weight = 500, .read_bps = {{.major = 8, .minor = 0, .rate = 1000}}},
      .unified = {{"memory.high", "max"}},
  };
  EXPECT_EQ(json::parse(ToJson(resources)), json::parse(R"({
    "devices": [
      {"allow": false, "type": "a", "access": "rwm"},
      {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw"}
    ],
    "memory": {"limit": 1099511627776, "reservation": 7, "swap": -1},
    "cpu": {"shares": 1024, "quota": -1, "period": 100000, "cpus": "0-1", "mems": "0"},
    "pids": {"limit": 100},
    "hugepageLimits": [{"pageSize": "2MB", "limit": 0}],
    "blockIO": {"weight": 500, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1000}]},
    "unified": {"memory.high": "max"}
  })"));
}

TEST(SpecJson, LinuxSectionIsWrittenWhole) {
  Spec spec;
  spec.oci_version = "1.1.0";
  spec.root_readonly = true;
  spec.hostname = "pod";
  spec.annotations = {{"a", "b"}};
  spec.namespaces = {{.type = "mount"}, {.type = "network", .path = "/run/netns/x"}};
  spec.uid_mappings = {{.container_id = 0, .host_id = 65536, .size = 65536}};
  spec.gid_mappings = {{.container_id = 0, .host_id = 131072, .size = 65536}};
  spec.devices = {{.type = "c", .path = "/dev/fuse", .major = 10, .minor = 229, .file_mode = 0666, .uid = 0, .gid = 0}};
  spec.cgroups_path = "/pod/id";
  spec.sysctl = {{"net.core.somaxconn", "1024"}};
  spec.masked_paths = {"/proc/kcore"};
  spec.readonly_paths = {"/proc/sys"};
  spec.rootfs_propagation = "rslave";
  spec.mount_label = "m";
  const json out = json::parse(ToJson(spec));
  EXPECT_EQ(out["ociVersion"], "1.1.0");
  EXPECT_EQ(out["root"]["readonly"], true);
  EXPECT_EQ(out["hostname"], "pod");
  EXPECT_EQ(out["annotations"], json::parse(R"({"a": "b"})"));
  EXPECT_EQ(out["linux"], json::parse(R"({
    "namespaces": [{"type": "mount"}, {"type": "network", "path": "/run/netns/x"}],
    "uidMappings": [{"containerID": 0, "hostID": 65536, "size": 65536}],
    "gidMappings": [{"containerID": 0, "hostID": 131072, "size": 65536}],
    "devices": [{"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229, "fileMode": 438, "uid": 0, "gid": 0}],
    "cgroupsPath": "/pod/id",
    "sysctl": {"net.core.somaxconn": "1024"},
    "maskedPaths": ["/proc/kcore"],
    "readonlyPaths": ["/proc/sys"],
    "rootfsPropagation": "rslave",
    "mountLabel": "m"
  })"));
}

TEST(SpecJson, MountsKeepTheirOrderAndMappings) {
  Spec spec;
  spec.mounts = {{.destination = "/proc", .type = "proc", .source = "proc", .options = {"nosuid"}},
                 {.destination = "/data",
                  .source = "/srv",
                  .uid_mappings = {{.container_id = 0, .host_id = 1, .size = 2}},
                  .gid_mappings = {{.container_id = 3, .host_id = 4, .size = 5}}}};
  EXPECT_EQ(json::parse(ToJson(spec))["mounts"], json::parse(R"([
    {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"]},
    {"destination": "/data", "source": "/srv",
     "uidMappings": [{"containerID": 0, "hostID": 1, "size": 2}],
     "gidMappings": [{"containerID": 3, "hostID": 4, "size": 5}]}
  ])"));
}

TEST(SpecJson, SeccompIsWrittenWhole) {
  Spec spec;
  spec.seccomp = Seccomp{
      .default_action = "SCMP_ACT_ERRNO",
      .default_errno_ret = 1,
      .architectures = {"SCMP_ARCH_X86_64"},
      .flags = {"SECCOMP_FILTER_FLAG_LOG"},
      .listener_path = "/l",
      .listener_metadata = "m",
      .syscalls = {{.names = {"clone"},
                    .action = "SCMP_ACT_ALLOW",
                    .args = {{.index = 0, .value = 0x7E020000, .value_two = 0, .op = "SCMP_CMP_MASKED_EQ"}}},
                   {.names = {"clone3"}, .action = "SCMP_ACT_ERRNO", .errno_ret = 38}},
  };
  EXPECT_EQ(json::parse(ToJson(spec))["linux"]["seccomp"], json::parse(R"({
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "architectures": ["SCMP_ARCH_X86_64"],
    "flags": ["SECCOMP_FILTER_FLAG_LOG"],
    "listenerPath": "/l",
    "listenerMetadata": "m",
    "syscalls": [
      {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
       "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
      {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}
    ]
  })"));
}

TEST(SpecJson, HooksAreWrittenUnderTheirStages) {
  Spec spec;
  spec.hooks.prestart = {{.path = "/a"}};
  spec.hooks.create_runtime = {{.path = "/b", .args = {"b", "x"}, .env = {"E=1"}, .timeout = 5}};
  spec.hooks.poststop = {{.path = "/c"}};
  EXPECT_EQ(json::parse(ToJson(spec))["hooks"], json::parse(R"({
    "prestart": [{"path": "/a"}],
    "createRuntime": [{"path": "/b", "args": ["b", "x"], "env": ["E=1"], "timeout": 5}],
    "poststop": [{"path": "/c"}]
  })"));
}

}  // namespace
}  // namespace berth::oci
