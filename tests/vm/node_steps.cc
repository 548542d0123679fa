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

#include "base/file.h"
#include "base/strings.h"
#include "base/time.h"
#include "tests/e2e/harness/cri.h"

namespace berth::e2e {
namespace {

using base::Cat;
using base::Path;
using testing::HasSubstr;
using testing::IsEmpty;
using namespace std::chrono_literals;

constexpr char kMemory[] = "/var/lib/berth-steps";
constexpr char kImage[] = "127.0.0.1:5000/e2e/busybox:1";
constexpr std::chrono::seconds kLimit{120};

std::string Setting(const char* name, const std::string& otherwise) {
  const char* value = ::getenv(name);
  return value ? value : otherwise;
}

class Step : public testing::Test {
 protected:
  Step() : cri_(Setting("BERTH_SOCKET", "/run/berth/berth.sock")) { std::filesystem::create_directories(kMemory); }

  // Handlers to play with: BERTH_HANDLERS="crun runc".
  static std::vector<std::string> Handlers() {
    std::vector<std::string> names;
    std::string text = Setting("BERTH_HANDLERS", "crun runc");
    for (std::string_view one : base::Split(text, ' ')) names.emplace_back(one);
    return names;
  }

  static v1::PodSandboxConfig Pod(const std::string& name) {
    std::string uid = Cat("0a1b2c3d-0000-4000-8000-", base::RandomId().substr(0, 12));
    std::string slice = uid;
    std::ranges::replace(slice, '-', '_');
    v1::PodSandboxConfig pod;
    pod.mutable_metadata()->set_name(name);
    pod.mutable_metadata()->set_namespace_("default");
    pod.mutable_metadata()->set_uid(uid);
    pod.set_hostname(name);
    pod.set_log_directory(Cat("/var/log/pods/default_", name, "_", uid));
    auto* linux_part = pod.mutable_linux();
    linux_part->set_cgroup_parent(Cat("kubepods-besteffort-pod", slice, ".slice"));
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
    auto pod_config = Pod(name);
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
    Made running = Run("running-" + handler, "i=0; while :; do echo $i; i=$((i+1)); sleep 0.1; done", handler);
    Made exited = Run("exited-" + handler, "exit 5", handler);
    EXPECT_EQ(WaitExited(exited.container).exit_code(), 5);
    Remember("running-" + handler, running.container);
    Remember("exited-" + handler, exited.container);
    Remember("pod-" + handler, running.pod);
  }
}

// On cgroup v2 with the systemd driver: a scope of its own below the pod's slice, limits in it, and the monitor
// elsewhere.
TEST_F(Step, ContainersAreInScopesOfTheirOwn) {
  for (const std::string& handler : Handlers()) {
    std::string id = Recall("running-" + handler);
    auto ran = cri_.Exec(id, {"sh", "-c", "cat /proc/self/attr/current; ip -4 -o addr show eth0"}, 60);
    ASSERT_TRUE(ran.ok()) << ran.message();
    EXPECT_THAT(ran->stdout(), HasSubstr("10.88."));
    bool found = false;
    for (const auto& entry : std::filesystem::recursive_directory_iterator("/sys/fs/cgroup/kubepods.slice")) {
      if (!entry.is_directory() || entry.path().string().find(id) == std::string::npos) continue;
      found = found || entry.path().extension() == ".scope";
    }
    EXPECT_TRUE(found) << "no scope names " << id;
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
    EXPECT_EQ(running->status().exit_code(), 255);
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
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator at("/sys/fs/cgroup", error), end; !error && at != end;
       at.increment(error)) {
    if (at->path().extension() == ".scope" && at->path().string().find("kubepods") != std::string::npos)
      left.push_back("cgroup " + at->path().string());
  }
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
