// Steps of the scenarios that run-tests plays on a node where berthd is a systemd service. Each is one gtest filter
// away:
//   berth_node_steps --gtest_filter=Step.Prepare
// Between steps the node is killed, rebooted or cut off; what a step must remember lies in a file on its disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "base/child.h"
#include "base/file.h"
#include "base/strings.h"
#include "base/time.h"
#include "tests/e2e/harness/cri.h"

namespace berth::e2e {
namespace {

using base::Cat;
using base::Path;
using testing::AnyOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using namespace std::chrono_literals;

constexpr char kMemory[] = "/var/lib/berth-steps";
constexpr char kImage[] = "127.0.0.1:5000/e2e/busybox:1";
constexpr char kLargeImage[] = "127.0.0.1:5000/e2e/big:1";
constexpr std::chrono::seconds kLimit{120};

std::string Setting(const char* name, const std::string& otherwise) {
  const char* value = ::getenv(name);
  return value ? value : otherwise;
}

// Every cgroup and systemd unit that is a pod's or a process's of Berth, by name.
std::vector<std::string> Groups() {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator at("/sys/fs/cgroup", error), end; !error && at != end;
       at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (at->is_directory(error) && (name.starts_with("berth-") || name.find("pod0a1b2c3d") != std::string::npos))
      names.push_back(name);
  }
  auto listed = base::Run({.spawn = {.program = "/usr/bin/systemctl",
                                     .arguments = {"systemctl", "list-units", "--all", "--plain", "--no-legend",
                                                   "berth-*.scope", "kubepods-*pod0a1b2c3d*.slice"},
                                     .environment = {"PATH=/usr/bin:/bin"}}},
                          base::Context().WithTimeout(60s));
  EXPECT_TRUE(listed) << listed.error().Text();
  for (std::string_view line : base::Split(listed ? listed->output : "", '\n')) {
    if (!line.empty()) names.push_back(Cat("unit ", line.substr(0, line.find(' '))));
  }
  std::ranges::sort(names);
  return names;
}

// Its path below the cgroups' root; "" when there is none.
std::string CgroupNamed(const std::string& name) {
  const std::string root = "/sys/fs/cgroup";
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator at(root, error), end; !error && at != end; at.increment(error)) {
    if (at->is_directory(error) && at->path().filename() == name) return at->path().string().substr(root.size());
  }
  return {};
}

std::string CgroupOf(int64_t pid) {
  const std::string text = base::ReadFile(Cat("/proc/", pid, "/cgroup")).value_or("");
  return text.starts_with("0::") ? std::string(base::Trim(text.substr(3))) : text;
}

// "PID START-TIME" of a container's monitor; "" when there is none.
std::string MonitorOf(const std::string& container) {
  auto names = base::ListFolder("/proc");
  for (const std::string& name : names ? *names : std::vector<std::string>()) {
    const auto pid = base::ParseInt(name);
    const std::string command = pid ? base::ReadFile(Cat("/proc/", name, "/cmdline")).value_or("") : "";
    if (!command.starts_with("berth-monitor") || command.find("--id=" + container) == std::string::npos) continue;
    const auto started = base::ProcessStartTime(static_cast<pid_t>(*pid));
    if (started) return Cat(*pid, " ", *started);
  }
  return {};
}
int64_t PidIn(const std::string& monitor) {
  return base::ParseInt(monitor.substr(0, monitor.find(' '))).value_or(0);
}

class Step : public testing::Test {
 protected:
  Step() : cri_(Setting("BERTH_SOCKET", "/run/berth/berth.sock")) { std::filesystem::create_directories(kMemory); }

  static bool Systemd() { return Setting("BERTH_DRIVER", "systemd") == "systemd"; }
  // Handlers to play with: BERTH_HANDLERS="crun runc".
  static std::vector<std::string> Handlers() {
    std::vector<std::string> names;
    std::string text = Setting("BERTH_HANDLERS", "crun runc");
    for (std::string_view one : base::Split(text, ' ')) names.emplace_back(one);
    return names;
  }

  // As the kubelet names it. Nobody has made it, so Berth makes and removes it.
  static std::string PodCgroup(std::string uid) {
    if (!Systemd()) return "/kubepods/besteffort/pod" + uid;
    std::ranges::replace(uid, '-', '_');
    return Cat("kubepods-besteffort-pod", uid, ".slice");
  }
  static v1::PodSandboxConfig Pod(const std::string& name) {
    std::string uid = Cat("0a1b2c3d-0000-4000-8000-", base::RandomId().substr(0, 12));
    v1::PodSandboxConfig pod;
    pod.mutable_metadata()->set_name(name);
    pod.mutable_metadata()->set_namespace_("default");
    pod.mutable_metadata()->set_uid(uid);
    pod.set_hostname(name);
    pod.set_log_directory(Cat("/var/log/pods/default_", name, "_", uid));
    auto* linux_part = pod.mutable_linux();
    linux_part->set_cgroup_parent(PodCgroup(uid));
    linux_part->mutable_security_context()->mutable_namespace_options()->set_pid(v1::CONTAINER);
    linux_part->mutable_security_context()->mutable_seccomp()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
    return pod;
  }
  static v1::ContainerConfig Container(const std::string& script) {
    v1::ContainerConfig config;
    config.mutable_metadata()->set_name("main");
    config.mutable_image()->set_image(kImage);
    for (const char* word : {"sh", "-c"}) config.add_command(word);
    config.add_command(script);
    config.set_log_path("main/0.log");
    auto* security = config.mutable_linux()->mutable_security_context();
    security->mutable_seccomp()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
    config.mutable_linux()->mutable_resources()->set_cpu_shares(2);
    return config;
  }

  struct Made {
    std::string pod;
    std::string container;
  };
  Made Run(const std::string& name, const std::string& script, const std::string& handler) {
    return Run(Pod(name), script, handler);
  }
  Made Run(const v1::PodSandboxConfig& pod_config, const std::string& script, const std::string& handler) {
    auto pod = cri_.RunPod(pod_config, handler, kLimit);
    EXPECT_TRUE(pod.ok()) << pod.message();
    auto container = cri_.Create(pod->pod_sandbox_id(), Container(script), pod_config, kLimit);
    EXPECT_TRUE(container.ok()) << container.message();
    auto started = cri_.Start(container->container_id());
    EXPECT_TRUE(started.ok()) << started.message();
    return {pod->pod_sandbox_id(), container->container_id()};
  }
  v1::ContainerStatus WaitExited(const std::string& container) {
    v1::ContainerStatus status;
    for (auto end = base::Monotonic::now() + kLimit; base::Monotonic::now() < end; std::this_thread::sleep_for(50ms)) {
      status = cri_.Status(container)->status();
      if (status.state() == v1::CONTAINER_EXITED) return status;
    }
    ADD_FAILURE() << "container " << container << " did not exit";
    return status;
  }
  static size_t LogSize(const v1::ContainerStatus& status) {
    std::error_code ignored;
    auto size = std::filesystem::file_size(status.log_path(), ignored);
    return ignored ? 0 : size;
  }

  void Remember(const std::string& key, const std::string& value) {
    auto written = base::WriteFile(Path(kMemory) / key, value, 0644, base::Durability::kDurable);
    ASSERT_TRUE(written) << written.error().Text();
  }
  static std::string Recall(const std::string& key) { return base::ReadFile(Path(kMemory) / key).value_or(""); }

  Cri cri_;
};

TEST_F(Step, Prepare) {
  auto pulled = cri_.Pull(kImage, kLimit);
  ASSERT_TRUE(pulled.ok()) << pulled.message();
  for (const std::string& handler : Handlers()) {
    Made running =
        Run("running-" + handler, "trap 'exit 7' TERM; i=0; while :; do echo $i; i=$((i+1)); sleep 0.1; done", handler);
    Made exited = Run("exited-" + handler, "exit 5", handler);
    EXPECT_EQ(WaitExited(exited.container).exit_code(), 5);
    auto shared_config = Pod("shared-" + handler);
    shared_config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(v1::POD);
    Remember("shared-" + handler, Run(shared_config, "sleep 100000", handler).pod);
    Remember("monitor-" + handler, MonitorOf(running.container));
    Remember("running-" + handler, running.container);
    Remember("exited-" + handler, exited.container);
    Remember("pod-" + handler, running.pod);
  }
}

// Containers, monitors and the shared pod's first process each in a group of its own below the pod's: not in the
// daemon's.
TEST_F(Step, EachIsInACgroupOfItsOwn) {
  const std::string suffix = Systemd() ? ".scope" : "";
  for (const std::string& handler : Handlers()) {
    const std::string id = Recall("running-" + handler);
    auto ran = cri_.Exec(id, {"sh", "-c", "ip -4 -o addr show eth0"}, 60);
    ASSERT_TRUE(ran.ok()) << ran.message();
    EXPECT_THAT(ran->stdout(), HasSubstr("10.88."));
    const std::string container = CgroupNamed(Cat("berth-", id, suffix));
    EXPECT_THAT(container, HasSubstr("kubepods"));
    EXPECT_THAT(base::ReadFile(Path("/sys/fs/cgroup") / Path(container).relative_path() / "cgroup.procs").value_or(""),
                Not(IsEmpty()));
    const std::string beside = Path(container).parent_path().string();
    EXPECT_EQ(CgroupOf(PidIn(Recall("monitor-" + handler))), Cat(beside, "/berth-monitor-", id, suffix));
    const std::string pause = CgroupNamed(Cat("berth-pause-", Recall("shared-" + handler), suffix));
    EXPECT_THAT(pause, HasSubstr("kubepods"));
  }
}

// A create that fails at the last step, by which time every scope has been made.
TEST_F(Step, FailedCreatesLeaveNothing) {
  for (const std::string& handler : Handlers()) {
    auto pod_config = Pod("failing-" + handler);
    auto pod = cri_.RunPod(pod_config, handler, kLimit);
    ASSERT_TRUE(pod.ok()) << pod.message();
    const std::vector<std::string> before = Groups();
    for (int round = 0; round < 5; ++round) {
      auto config = Container("true");
      config.mutable_command()->Clear();
      config.add_command("/no/such/program");
      auto container = cri_.Create(pod->pod_sandbox_id(), config, pod_config, kLimit);
      if (container.ok()) {  // this runtime looks for it at its start
        EXPECT_FALSE(cri_.Start(container->container_id()).ok());
        EXPECT_TRUE(cri_.Remove(container->container_id()).ok());
      }
    }
    std::vector<std::string> after = Groups();
    for (auto end = base::Monotonic::now() + 30s; after != before && base::Monotonic::now() < end; after = Groups())
      std::this_thread::sleep_for(100ms);
    EXPECT_EQ(after, before);
    EXPECT_TRUE(cri_.RemovePod(pod->pod_sandbox_id(), kLimit).ok());
  }
}

TEST_F(Step, EverythingGoesOn) {
  for (const std::string& handler : Handlers()) {
    auto running = cri_.Status(Recall("running-" + handler));
    ASSERT_TRUE(running.ok()) << running.message();
    EXPECT_EQ(running->status().state(), v1::CONTAINER_RUNNING);
    size_t size = LogSize(running->status());
    for (int tries = 0; tries < 200 && LogSize(running->status()) <= size; ++tries) std::this_thread::sleep_for(50ms);
    EXPECT_GT(LogSize(running->status()), size) << "the log stands still";
    auto exited = cri_.Status(Recall("exited-" + handler));
    EXPECT_EQ(exited->status().exit_code(), 5);
    const std::string id = Recall("running-" + handler);
    EXPECT_EQ(MonitorOf(id), Recall("monitor-" + handler)) << "it is another monitor, or none";
    EXPECT_EQ(cri_.PodStatus(Recall("shared-" + handler))->status().state(), v1::SANDBOX_READY);
    EXPECT_EQ(cri_.PodStatus(Recall("pod-" + handler))->status().state(), v1::SANDBOX_READY);
    auto ran = cri_.Exec(Recall("running-" + handler), {"true"}, 60);
    EXPECT_TRUE(ran.ok()) << ran.message();
  }
}

TEST_F(Step, AfterAReboot) {
  for (const std::string& handler : Handlers()) {
    auto running = cri_.Status(Recall("running-" + handler));
    ASSERT_TRUE(running.ok()) << running.message();
    EXPECT_EQ(running->status().state(), v1::CONTAINER_EXITED);
    // systemd ends scopes before it stops the rest; what is in none is met by its last sweep together with the monitor.
    if (Systemd())
      EXPECT_EQ(running->status().exit_code(), 7);
    else
      EXPECT_THAT(running->status().exit_code(), AnyOf(7, 255));
    EXPECT_EQ(cri_.Status(Recall("exited-" + handler))->status().exit_code(), 5);
    EXPECT_EQ(cri_.PodStatus(Recall("pod-" + handler))->status().state(), v1::SANDBOX_NOTREADY);
  }
}

// Life cycles and pulls until the power goes.
TEST_F(Step, Churn) {
  for (int round = 0;; ++round) {
    std::string handler = Handlers()[static_cast<size_t>(round) % Handlers().size()];
    Made made = Run(Cat("churn-", round), "echo hello; sleep 1000", handler);
    auto removed = cri_.RemovePod(made.pod, kLimit);
    ASSERT_TRUE(removed.ok()) << removed.message();
    const char* other = "127.0.0.1:5000/e2e/whiteouts:1";
    (void)cri_.Pull(other, kLimit);
    (void)cri_.RemoveImage(other);
    Remember("rounds", std::to_string(round + 1));
  }
}

// One pull after the other until the power goes.
TEST_F(Step, PullsUntilTheCut) {
  for (int round = 0;; ++round) {
    auto pulled = cri_.Pull(kLargeImage, kLimit);
    ASSERT_TRUE(pulled.ok()) << pulled.message();
    ASSERT_TRUE(cri_.RemoveImage(kLargeImage).ok());
    Remember("pulls", std::to_string(round + 1));
  }
}

// Nothing half there, every file of what is there as it was written, and the image comes whole at the next pull.
TEST_F(Step, StoreIsRightAfterACut) {
  EXPECT_THAT(base::ListFolder("/var/lib/berth/images/tmp").value_or(std::vector<std::string>{"no folder"}), IsEmpty());
  for (const char* when : {"after the cut", "after the pull"}) {
    auto checked = base::Run({.spawn = {.program = "/usr/bin/berth",
                                        .arguments = {"berth", "check", "--contents"},
                                        .environment = {"PATH=/usr/bin:/bin"}}},
                             base::Context().WithTimeout(kLimit));
    ASSERT_TRUE(checked) << checked.error().Text();
    EXPECT_EQ(checked->exit.code, 0) << when << ": " << checked->output << checked->errors;
    auto pulled = cri_.Pull(kLargeImage, kLimit);
    ASSERT_TRUE(pulled.ok()) << pulled.message();
  }
  auto pod_config = Pod("large");
  const std::string handler = Handlers().front();
  auto pod = cri_.RunPod(pod_config, handler, kLimit);
  ASSERT_TRUE(pod.ok()) << pod.message();
  auto config = Container("[ $(wc -c < /noise) = 25165824 ] && exit 4");
  config.mutable_image()->set_image(kLargeImage);
  auto container = cri_.Create(pod->pod_sandbox_id(), config, pod_config, kLimit);
  ASSERT_TRUE(container.ok()) << container.message();
  auto started = cri_.Start(container->container_id());
  ASSERT_TRUE(started.ok()) << started.message();
  EXPECT_EQ(WaitExited(container->container_id()).exit_code(), 4);
  EXPECT_TRUE(cri_.RemovePod(pod->pod_sandbox_id(), kLimit).ok());
  EXPECT_TRUE(cri_.RemoveImage(kLargeImage).ok());
}

// Whatever the cut left: lists answer, no image is half there, what is listed can be used or removed.
TEST_F(Step, AfterACut) {
  auto images = cri_.Images();
  ASSERT_TRUE(images.ok()) << images.message();
  for (const auto& image : images->images()) EXPECT_GT(image.size(), 0u);
  auto pods = cri_.Pods();
  ASSERT_TRUE(pods.ok()) << pods.message();
  for (const auto& pod : pods->items()) EXPECT_EQ(pod.state(), v1::SANDBOX_NOTREADY) << pod.id();
  auto containers = cri_.Containers();
  ASSERT_TRUE(containers.ok()) << containers.message();
  for (const auto& container : containers->containers())
    EXPECT_EQ(container.state(), v1::CONTAINER_EXITED) << container.id();
  auto pulled = cri_.Pull("127.0.0.1:5000/e2e/whiteouts:1", kLimit);
  ASSERT_TRUE(pulled.ok()) << pulled.message();
  ASSERT_TRUE(cri_.Pull(kImage, kLimit).ok());
  for (const std::string& handler : Handlers()) {
    auto pod_config = Pod("after-" + handler);
    auto pod = cri_.RunPod(pod_config, handler, kLimit);
    ASSERT_TRUE(pod.ok()) << pod.message();
    auto config = Container("cat /data/gone /data/second && busybox true && exit 4");
    config.mutable_image()->set_image("127.0.0.1:5000/e2e/whiteouts:1");
    auto container = cri_.Create(pod->pod_sandbox_id(), config, pod_config, kLimit);
    ASSERT_TRUE(container.ok()) << container.message();
    auto started = cri_.Start(container->container_id());
    ASSERT_TRUE(started.ok()) << started.message();
    EXPECT_EQ(WaitExited(container->container_id()).exit_code(), 4);
  }
}

std::vector<std::string> Left() {
  std::vector<std::string> left;
  auto mounts = base::ReadFile("/proc/self/mountinfo").value_or("");
  for (std::string_view line : base::Split(mounts, '\n')) {
    auto fields = base::Split(line, ' ');
    if (fields.size() < 5) continue;
    if (fields[4].starts_with("/run/berth/") || fields[4].starts_with("/run/netns/berth-") ||
        fields[4].starts_with("/var/lib/berth/")) {
      left.push_back(Cat("mount ", fields[4]));
    }
  }
  auto netns = base::ListFolder("/run/netns");
  for (const std::string& name : netns ? *netns : std::vector<std::string>()) left.push_back("netns " + name);
  auto addresses = base::ListFolder("/var/lib/cni/networks/berth");
  for (const std::string& name : addresses ? *addresses : std::vector<std::string>()) {
    if (name != "lock" && !name.starts_with("last_reserved_ip")) left.push_back("address " + name);
  }
  for (const char* kind : {"sandboxes", "containers"}) {
    for (const char* root : {"/var/lib/berth", "/run/berth"}) {
      auto names = base::ListFolder(Path(root) / kind);
      for (const std::string& name : names ? *names : std::vector<std::string>())
        left.push_back(Cat(root, "/", kind, "/", name));
    }
  }
  for (const std::string& name : Groups()) left.push_back("cgroup or unit " + name);
  return left;
}

TEST_F(Step, CleanLeavesNothing) {
  auto pods = cri_.Pods();
  ASSERT_TRUE(pods.ok()) << pods.message();
  for (const auto& pod : pods->items()) {
    auto stopped = cri_.StopPod(pod.id(), kLimit);
    EXPECT_TRUE(stopped.ok()) << stopped.message();
    auto removed = cri_.RemovePod(pod.id(), kLimit);
    EXPECT_TRUE(removed.ok()) << removed.message();
  }
  EXPECT_THAT(cri_.Pods()->items(), IsEmpty());
  EXPECT_THAT(cri_.Containers()->containers(), IsEmpty());
  std::vector<std::string> left = Left();
  for (int tries = 0; tries < 100 && !left.empty(); ++tries) {
    std::this_thread::sleep_for(100ms);
    left = Left();
  }
  EXPECT_THAT(left, IsEmpty());
}

}  // namespace
}  // namespace berth::e2e
