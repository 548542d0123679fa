// Pods: address, names, namespaces, and that stop and remove take all of it away.
#include "tests/e2e/harness/fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace berth::e2e {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class Pod : public OnRuntime {
 protected:
  std::string Output(const std::string& pod, const v1::PodSandboxConfig& pod_config, const std::string& script,
                     const std::string& name = "main", const std::function<void(v1::ContainerConfig&)>& change = {}) {
    auto config = Container(Sh(script), name);
    if (change) change(config);
    auto created = cri().Create(pod, config, pod_config);
    EXPECT_CALL_OK(created);
    auto started = cri().Start(created->container_id());
    EXPECT_CALL_OK(started);
    base::Path log = base::Path(pod_config.log_directory()) / config.log_path();
    EXPECT_EQ(WaitExited(created->container_id()).exit_code(), 0) << LogText(log, "stderr");
    return LogText(log);
  }
};
ON_EVERY_RUNTIME(Pod);

std::string ReadFrom(const char* address, int port) {
  base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  timeval limit{.tv_sec = 10, .tv_usec = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  ::inet_pton(AF_INET, address, &to.sin_addr);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) return {};
  char text[64];
  ssize_t length = ::recv(fd.get(), text, sizeof(text), 0);
  return length > 0 ? std::string(text, static_cast<size_t>(length)) : std::string();
}

TEST_P(Pod, HasAnAddressANameAndResolvConf) {
  auto config = OnNode::Pod("web-0");
  std::string pod = RunPod(config);
  auto status = cri().PodStatus(pod);
  ASSERT_CALL_OK(status);
  EXPECT_EQ(status->status().state(), v1::SANDBOX_READY);
  EXPECT_THAT(status->status().network().ip(), StartsWith("10.88."));
  EXPECT_GT(status->status().created_at(), 0);
  EXPECT_THAT(status->status().metadata(), SameMessage(config.metadata()));
  EXPECT_EQ(status->status().runtime_handler(), GetParam());
  std::string text =
      Output(pod, config, "hostname; cat /etc/resolv.conf; ip -4 -o addr show eth0; ip link show lo; ip route");
  EXPECT_THAT(text, StartsWith("web-0\n"));
  EXPECT_THAT(text, HasSubstr("nameserver 192.0.2.10\n"));
  EXPECT_THAT(text, HasSubstr("search default.svc.cluster.local cluster.local\n"));
  EXPECT_THAT(text, HasSubstr("options ndots:5\n"));
  EXPECT_THAT(text, HasSubstr(status->status().network().ip() + "/16"));
  EXPECT_THAT(text, HasSubstr("LOOPBACK,UP"));
  EXPECT_THAT(text, HasSubstr("default via 10.88.0.1"));
}

TEST_P(Pod, LabelsAndAnnotationsComeBackUnchanged) {
  auto config = OnNode::Pod();
  (*config.mutable_annotations())["odd \"key\"\n"] = "value with \xc3\xa9 and\ttab";
  std::string pod = RunPod(config);
  auto status = cri().PodStatus(pod);
  EXPECT_EQ(status->status().labels().size(), config.labels().size());
  EXPECT_EQ(status->status().annotations().at("odd \"key\"\n"), "value with \xc3\xa9 and\ttab");
  EXPECT_EQ(cri().Pods()->items(0).annotations().at("odd \"key\"\n"), "value with \xc3\xa9 and\ttab");
}

TEST_P(Pod, StopTakesTheAddressAndIsIdempotent) {
  std::string pod = RunPod(OnNode::Pod());
  ASSERT_CALL_OK(cri().StopPod(pod));
  auto status = cri().PodStatus(pod);
  ASSERT_CALL_OK(status);
  EXPECT_EQ(status->status().state(), v1::SANDBOX_NOTREADY);
  EXPECT_THAT(status->status().network().ip(), IsEmpty());
  EXPECT_CALL_OK(cri().StopPod(pod));
  ASSERT_CALL_OK(cri().RemovePod(pod));
  EXPECT_EQ(cri().PodStatus(pod).code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_CALL_OK(cri().RemovePod(pod));
}

TEST_P(Pod, RemoveStopsFirstAndTakesTheContainers) {
  Made made = RunContainer({"sleep", "1000"});
  ASSERT_CALL_OK(cri().RemovePod(made.pod));
  EXPECT_THAT(cri().Pods()->items(), IsEmpty());
  EXPECT_THAT(cri().Containers()->containers(), IsEmpty());
  EXPECT_THAT(ProcessesNamed("sleep"), IsEmpty());
}

TEST_P(Pod, ListFiltersByIdStateAndLabel) {
  auto first_config = OnNode::Pod("first");
  std::string first = RunPod(first_config);
  std::string second = RunPod(OnNode::Pod("second"));
  ASSERT_CALL_OK(cri().StopPod(second));
  auto ids = [&](const v1::PodSandboxFilter& filter) {
    std::vector<std::string> found;
    for (auto listed = cri().Pods(filter); const auto& item : listed->items()) found.push_back(item.id());
    return found;
  };
  v1::PodSandboxFilter by_id, by_state, by_label, none;
  by_id.set_id(first.substr(0, 16));
  by_state.mutable_state()->set_state(v1::SANDBOX_NOTREADY);
  (*by_label.mutable_label_selector())["io.kubernetes.pod.uid"] = first_config.metadata().uid();
  none.set_id("ffffffffffffffffffffffff");
  EXPECT_THAT(ids(by_id), testing::ElementsAre(first));
  EXPECT_THAT(ids(by_state), testing::ElementsAre(second));
  EXPECT_THAT(ids(by_label), testing::ElementsAre(first));
  EXPECT_THAT(ids(none), IsEmpty());
  EXPECT_THAT(ids({}), testing::UnorderedElementsAre(first, second));
}

TEST_P(Pod, ContainersShareNetworkAndShm) {
  auto config = OnNode::Pod();
  std::string pod = RunPod(config);
  auto server = Container(Sh("echo shared > /dev/shm/file; nc -l -p 8080 -e echo from-the-other"), "server");
  auto created = cri().Create(pod, server, config);
  ASSERT_CALL_OK(created);
  ASSERT_CALL_OK(cri().Start(created->container_id()));
  EXPECT_EQ(Output(pod, config,
                   "n=0; until nc 127.0.0.1 8080 < /dev/null; do n=$((n+1)); [ $n -lt 100 ] || exit 1; sleep 0.1; "
                   "done; cat /dev/shm/file"),
            "from-the-other\nshared\n");
}

TEST_P(Pod, HostPortLeadsToThePod) {
  auto config = OnNode::Pod();
  auto* port = config.add_port_mappings();
  port->set_protocol(v1::TCP);
  port->set_container_port(8080);
  port->set_host_port(18080);
  std::string pod = RunPod(config);
  auto created = cri().Create(pod, Container(Sh("while :; do nc -l -p 8080 -e echo through-the-port; done")), config);
  ASSERT_CALL_OK(created);
  ASSERT_CALL_OK(cri().Start(created->container_id()));
  std::string text;
  EXPECT_TRUE(Eventually([&] { return !(text = ReadFrom("10.88.0.1", 18080)).empty(); }));
  EXPECT_EQ(text, "through-the-port\n");
}

TEST_P(Pod, HostNetworkPodSharesTheNodesNetworkAndHasNoAddress) {
  auto config = OnNode::Pod();
  config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(v1::NODE);
  std::string pod = RunPod(config);
  EXPECT_THAT(cri().PodStatus(pod)->status().network().ip(), IsEmpty());
  EXPECT_EQ(cri().PodStatus(pod)->status().linux().namespaces().options().network(), v1::NODE);
  std::string own = std::filesystem::read_symlink("/proc/self/ns/net").string() + "\n";
  EXPECT_EQ(Output(pod, config, "readlink /proc/self/ns/net", "main",
                   [](v1::ContainerConfig& container) {
                     container.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(
                         v1::NODE);
                   }),
            own);
}

TEST_P(Pod, SharedPidNamespaceHasThePauseProcessAsItsFirst) {
  auto config = OnNode::Pod();
  config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(v1::POD);
  std::string pod = RunPod(config);
  EXPECT_THAT(
      Output(pod, config, "cat /proc/1/comm; [ $$ != 1 ]", "main",
             [](v1::ContainerConfig& container) {
               container.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(v1::POD);
             }),
      StartsWith("berth-pause"));
}

TEST_P(Pod, ContainerOfItsOwnPidNamespaceIsItsFirstProcess) {
  auto config = OnNode::Pod();
  std::string pod = RunPod(config);
  EXPECT_EQ(Output(pod, config, "echo $$"), "1\n");
}

TEST_P(Pod, SysctlsOfThePodApply) {
  auto config = OnNode::Pod();
  (*config.mutable_linux()->mutable_sysctls())["net.ipv4.ip_unprivileged_port_start"] = "77";
  (*config.mutable_linux()->mutable_sysctls())["kernel.shm_rmid_forced"] = "1";
  std::string pod = RunPod(config);
  EXPECT_EQ(Output(pod, config, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced"),
            "77\n1\n");
}

TEST_P(Pod, ANewAttemptOfAStoppedPodIsAnotherPod) {
  auto config = OnNode::Pod();
  std::string first = RunPod(config);
  ASSERT_CALL_OK(cri().StopPod(first));
  config.mutable_metadata()->set_attempt(1);
  std::string second = RunPod(config);
  EXPECT_NE(first, second);
  EXPECT_EQ(cri().PodStatus(second)->status().metadata().attempt(), 1u);
}

TEST_P(Pod, PodsBelowOneParentLeaveEachOtherAlone) {
  const std::string parent = isolation.systemd ? "berthshared-parent.slice" : "/berth-e2e-shared/parent";
  std::vector<std::string> pods;
  std::string container;
  for (int i = 0; i < 2; ++i) {
    auto config = OnNode::Pod();
    config.mutable_linux()->set_cgroup_parent(parent);
    pods.push_back(RunPod(config));
    auto created = cri().Create(pods.back(), Container({"sleep", "1000"}), config);
    ASSERT_CALL_OK(created);
    container = created->container_id();
    ASSERT_CALL_OK(cri().Start(container));
  }
  ASSERT_CALL_OK(cri().RemovePod(pods[0]));
  EXPECT_EQ(cri().Status(container)->status().state(), v1::CONTAINER_RUNNING);
  ASSERT_CALL_OK(cri().RemovePod(pods[1]));
  // What is above the parent is whoever's named it.
  if (isolation.systemd) {
    auto stopped = base::Run({.spawn = {.program = "/usr/bin/systemctl",
                                        .arguments = {"systemctl", "stop", "berthshared.slice"},
                                        .environment = {"PATH=/usr/bin:/bin"}}},
                             base::Context().WithTimeout(std::chrono::seconds(60)));
    ASSERT_STATUS_OK(stopped);
    return;
  }
  for (const char* hierarchy :
       {"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd", ""})
    ::rmdir((base::Path("/sys/fs/cgroup") / hierarchy / "berth-e2e-shared").c_str());
}

}  // namespace
}  // namespace berth::e2e
