// Runtime handlers with options of their own, CDI devices, and the limits that the configuration gives to all
// containers.
#include "base/strings.h"
#include "tests/e2e/harness/fixture.h"
#include "tests/e2e/harness/paths.h"

namespace berth::e2e {
namespace {

using base::Cat;
using testing::HasSubstr;
using testing::IsEmpty;

class Handler : public OnRuntime {
 protected:
  // The installed runtime under two names, each with a state folder of its own.
  Daemon::Options DaemonOptions() override {
    auto options = OnRuntime::DaemonOptions();
    const std::string path = OciRuntime(GetParam()).string();
    options.settings["runtimes.plain"] = Cat("{path: ", path, "}");
    options.settings["runtimes.special"] = Cat("{path: ", path, ", root: ", (folder() / "special").string(),
                                               ", annotations: [io.tool/default=1], allowed_annotations: [io.tool/*], "
                                               "privileged_without_host_devices: true, systemd_containers: true}");
    options.settings["container.default_ulimits"] = "[nofile=512:1024, core=0]";
    options.settings["container.default_sysctls"] =
        R"(["net.ipv4.ip_unprivileged_port_start=0", "net.ipv4.ping_group_range=0 2147483647"])";
    options.settings["container.pids_limit"] = "77";
    options.settings["container.device_ownership_from_security_context"] = "true";
    options.settings["container.cdi_dirs"] =
        Cat("[", (folder() / "cdi").string(), ", ", (folder() / "cdi-run").string(), "]");
    return options;
  }
  Made RunOn(const std::string& handler, const std::string& script,
             const std::function<void(v1::PodSandboxConfig&, v1::ContainerConfig&)>& change = {}) {
    Made made{.pod = {}, .container = {}, .pod_config = Pod(), .config = OnNode::Container(Sh(script))};
    if (change) change(made.pod_config, made.config);
    const auto pod = cri().RunPod(made.pod_config, handler);
    EXPECT_CALL_OK(pod);
    made.pod = pod->pod_sandbox_id();
    const auto created = cri().Create(made.pod, made.config, made.pod_config);
    EXPECT_CALL_OK(created);
    made.container = created->container_id();
    EXPECT_CALL_OK(cri().Start(made.container));
    return made;
  }
  std::string Inside(const Made& made) {
    EXPECT_EQ(WaitExited(made.container).exit_code(), 0) << LogText(made.log(), "stderr");
    return LogText(made.log());
  }
  std::string Info(const Made& made) {
    v1::ContainerStatusRequest request;
    request.set_container_id(made.container);
    request.set_verbose(true);
    const auto status = cri().Call(&v1::RuntimeService::Stub::ContainerStatus, request);
    EXPECT_CALL_OK(status);
    return status.ok() ? status->info().at("info") : std::string();
  }
  void WriteSpec(const std::string& name, const std::string& text) {
    ASSERT_STATUS_OK(base::MakeDirs((folder() / name).parent_path()));
    ASSERT_STATUS_OK(base::WriteFile(folder() / name, text, 0644));
  }
};
ON_EVERY_RUNTIME(Handler);

TEST_P(Handler, EachHasItsOwnStateAndAnnotations) {
  const auto annotate = [](v1::PodSandboxConfig&, v1::ContainerConfig& config) {
    (*config.mutable_annotations())["io.tool/asked"] = "2";
  };
  const Made plain = RunOn("plain", "sleep 1000", annotate);
  const Made special = RunOn("special", "sleep 1000", annotate);
  EXPECT_TRUE(base::Exists(folder() / "special" / special.container));
  EXPECT_FALSE(base::Exists(folder() / "special" / plain.container));
  const auto spec = [](const std::string& info) { return info.substr(info.find("\"runtimeSpec\"")); };
  EXPECT_THAT(spec(Info(special)), HasSubstr(R"("io.tool/asked":"2")"));
  EXPECT_THAT(spec(Info(special)), HasSubstr(R"("io.tool/default":"1")"));
  EXPECT_EQ(spec(Info(plain)).find("io.tool/"), std::string::npos);
}

TEST_P(Handler, PrivilegedWithoutTheHostsDevices) {
  const auto privileged = [](v1::PodSandboxConfig& pod, v1::ContainerConfig& config) {
    pod.mutable_linux()->mutable_security_context()->set_privileged(true);
    config.mutable_linux()->mutable_security_context()->set_privileged(true);
    v1::Device& device = *config.add_devices();
    device.set_host_path("/dev/null");
    device.set_container_path("/dev/mine");
  };
  // What every container has, and what it names.
  EXPECT_EQ(
      Inside(RunOn("special", "cd /dev && find . -type c -o -type b | grep -v pts | sort | tr '\\n' ' '", privileged)),
      "./full ./mine ./null ./random ./tty ./urandom ./zero ");
}

TEST_P(Handler, SystemdGetsWhatItNeedsWhereTheHandlerSaysSo) {
  // What is called so; what it does is look around.
  ASSERT_STATUS_OK(
      base::WriteFile(folder() / "systemd",
                      "#!/bin/sh\n"
                      "for d in /run /run/lock /tmp /var/log/journal; do touch $d/x && stat -fc %T $d; done\n"
                      "echo $container\n"
                      "[ -f /sys/fs/cgroup/cgroup.controllers ] && mkdir /sys/fs/cgroup/x 2>/dev/null && echo cgroup\n"
                      "exit 0\n",
                      0755));
  const auto init = [&](v1::PodSandboxConfig&, v1::ContainerConfig& config) {
    config.clear_command();
    config.clear_args();
    config.add_command("/opt/systemd");
    auto& mount = *config.add_mounts();
    mount.set_container_path("/opt/systemd");
    mount.set_host_path((folder() / "systemd").string());
  };
  const bool v2 = base::Exists("/sys/fs/cgroup/cgroup.controllers");
  EXPECT_EQ(Inside(RunOn("special", "", init)), Cat("tmpfs\ntmpfs\ntmpfs\ntmpfs\noci\n", v2 ? "cgroup\n" : ""));
  const std::string plain = Inside(RunOn("plain", "", init));
  EXPECT_EQ(plain.find("tmpfs"), std::string::npos) << plain;
  EXPECT_EQ(plain.find("cgroup"), std::string::npos) << plain;
}

TEST_P(Handler, UnknownHandlerIsRefusedBeforeAnythingIsDone) {
  const auto refused = cri().RunPod(Pod(), "none-such");
  EXPECT_EQ(refused.code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(refused.message(), HasSubstr("none-such"));
  EXPECT_THAT(cri().Pods()->items(), IsEmpty());
}

TEST_P(Handler, StatusTellsOfEveryHandlerAndOfTheDefault) {
  const auto status = cri().Call(&v1::RuntimeService::Stub::Status, v1::StatusRequest());
  ASSERT_CALL_OK(status);
  std::map<std::string, bool> read_only;
  for (const auto& handler : status->runtime_handlers())
    read_only[handler.name()] = handler.features().recursive_read_only_mounts();
  for (const char* name : {"", "plain", "special"}) EXPECT_TRUE(read_only.contains(name)) << name;
  EXPECT_EQ(read_only["plain"], read_only[GetParam()]) << "the same program can do the same";
  EXPECT_EQ(read_only["special"], read_only[GetParam()]);
}

TEST_P(Handler, EveryContainerHasTheConfiguredLimits) {
  EXPECT_EQ(Inside(RunOn("plain", "ulimit -Sn; ulimit -Hn; ulimit -c")), "512\n1024\n0\n");
  const bool v2 = base::Exists("/sys/fs/cgroup/cgroup.controllers");
  EXPECT_EQ(Inside(RunOn("plain", v2 ? "cat /sys/fs/cgroup/pids.max" : "cat /sys/fs/cgroup/pids/pids.max")), "77\n");
}

TEST_P(Handler, EveryPodHasTheConfiguredSysctls) {
  const std::string script = "cd /proc/sys/net/ipv4 && cat ip_unprivileged_port_start ping_group_range";
  EXPECT_EQ(Inside(RunOn("plain", script)), "0\n0\t2147483647\n");
  const auto own = [](v1::PodSandboxConfig& pod, v1::ContainerConfig&) {
    (*pod.mutable_linux()->mutable_sysctls())["net/ipv4/ip_unprivileged_port_start"] = "80";
  };
  EXPECT_EQ(Inside(RunOn("plain", script, own)), "80\n0\t2147483647\n");
  std::string of_the_node;
  for (const char* name : {"ip_unprivileged_port_start", "ping_group_range"})
    of_the_node += *base::ReadFile(Cat("/proc/sys/net/ipv4/", name));
  const auto host = [](v1::PodSandboxConfig& pod, v1::ContainerConfig& config) {
    for (auto* linux : {pod.mutable_linux()->mutable_security_context()->mutable_namespace_options(),
                        config.mutable_linux()->mutable_security_context()->mutable_namespace_options()})
      linux->set_network(v1::NODE);
  };
  EXPECT_EQ(Inside(RunOn("plain", script, host)), of_the_node);
}

TEST_P(Handler, RequestedDeviceBelongsToTheContainersUser) {
  const Made made = RunOn("plain", "stat -c '%u %g' /dev/mine", [](v1::PodSandboxConfig&, v1::ContainerConfig& config) {
    auto& security = *config.mutable_linux()->mutable_security_context();
    security.mutable_run_as_user()->set_value(1000);
    security.mutable_run_as_group()->set_value(2000);
    v1::Device& device = *config.add_devices();
    device.set_host_path("/dev/null");
    device.set_container_path("/dev/mine");
  });
  EXPECT_EQ(Inside(made), "1000 2000\n");
}

TEST_P(Handler, CdiDevicesByFieldAndByAnnotation) {
  WriteSpec("cdi/gpu.yaml", R"(cdiVersion: "0.6.0"
kind: example.com/gpu
containerEdits: {env: [DRIVER=1]}
devices:
  - name: "0"
    containerEdits:
      env: [GPU=0]
      deviceNodes: [{path: /dev/gpu0, hostPath: /dev/loop-control, permissions: r}]
  - name: "1"
    containerEdits: {env: [SECOND=1]}
)");
  const auto ask = [](v1::PodSandboxConfig&, v1::ContainerConfig& config) {
    config.add_cdi_devices()->set_name("example.com/gpu=0");
    (*config.mutable_annotations())["cdi.k8s.io/plugin"] = "example.com/gpu=1";
  };
  EXPECT_EQ(Inside(RunOn("plain",
                         "echo $DRIVER $GPU $SECOND; (: < /dev/gpu0) && echo read; (: >> /dev/gpu0) 2>/dev/null || "
                         "echo not written",
                         ask)),
            "1 0 1\nread\nnot written\n");
  // A file that comes later, in the folder that wins.
  WriteSpec(
      "cdi-run/gpu.json",
      R"({"cdiVersion":"1.0.0","kind":"example.com/gpu","devices":[{"name":"1","containerEdits":{"env":["SECOND=2"]}}]})");
  EXPECT_EQ(Inside(RunOn("plain", "echo $DRIVER $GPU $SECOND", ask)), "1 0 2\n");
}

TEST_P(Handler, UnresolvedCdiDevicesAreListed) {
  v1::PodSandboxConfig pod_config = Pod();
  v1::ContainerConfig config = OnNode::Container(Sh("true"));
  config.add_cdi_devices()->set_name("example.com/gpu=7");
  config.add_cdi_devices()->set_name("example.com/gpu=8");
  const auto created = cri().Create(RunPod(pod_config), config, pod_config);
  EXPECT_EQ(created.code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(created.message(), HasSubstr("unresolved: example.com/gpu=7, example.com/gpu=8"));
  EXPECT_THAT(cri().Containers()->containers(), IsEmpty());
}

}  // namespace
}  // namespace berth::e2e
