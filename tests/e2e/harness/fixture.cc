#include "tests/e2e/harness/fixture.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include "base/child.h"
#include "base/strings.h"
#include "tests/e2e/harness/paths.h"

namespace berth::e2e {

using base::Cat;
using base::Path;
using namespace std::chrono_literals;

Isolation OnNode::isolation;
Registry* OnNode::registry = nullptr;
std::string OnNode::skip_reason;
Path OnNode::work_folder;

namespace {

// The cgroup that a kubelet makes for a pod, in every hierarchy.
std::vector<Path> MakePodCgroup(const std::string& parent) {
  std::vector<Path> made;
  bool v2 = base::Exists("/sys/fs/cgroup/cgroup.controllers");
  std::vector<Path> roots;
  if (v2) {
    roots.push_back("/sys/fs/cgroup");
  } else if (auto names = base::ListFolder("/sys/fs/cgroup")) {
    for (const std::string& name : *names) {
      if (base::Exists(Path("/sys/fs/cgroup") / name / "cgroup.procs")) roots.push_back(Path("/sys/fs/cgroup") / name);
    }
  }
  for (const Path& root : roots) {
    Path at = root;
    for (const Path& part : Path(parent).relative_path()) {
      if (v2) {
        auto controllers = base::ReadFile(at / "cgroup.controllers");
        for (std::string_view one : base::Split(base::Trim(controllers ? *controllers : ""), ' ')) {
          if (!one.empty()) (void)base::WriteKernelFile(at / "cgroup.subtree_control", Cat("+", one));
        }
      }
      Path child = at / part;
      (void)base::MakeDirs(child);
      for (const char* file : {"cpuset.cpus", "cpuset.mems"}) {
        auto value = base::ReadFile(at / file);
        if (!v2 && value && base::Exists(child / file)) (void)base::WriteKernelFile(child / file, base::Trim(*value));
      }
      at = child;
    }
    made.push_back(at);
  }
  return made;
}

}  // namespace

Daemon::Options OnNode::DaemonOptions() {
  return {.folder = folder_,
          .state_root = folder_ / "state",
          .run_root = run_folder_ / "run",
          .systemd = isolation.systemd,
          .masquerade = true,
          .settings = {}};
}

void OnNode::SetUp() {
  if (!skip_reason.empty()) GTEST_SKIP() << skip_reason;
  static int count = 0;
  std::string number = std::to_string(++count);
  folder_ = work_folder / number;
  run_folder_ = Path("/run/berth-e2e") / number;
  ASSERT_STATUS_OK(base::MakeDirs(folder_));
  ASSERT_STATUS_OK(base::MakeDirs(run_folder_));
  daemon_ = std::make_unique<Daemon>(DaemonOptions());
  ASSERT_STATUS_OK(daemon_->WriteFiles());
  Prepare();
  if (IsSkipped()) return;
  InventoryScope scope = Scope();
  scope.file_roots.clear();
  outside_ = TakeInventory(scope);
  StartAgain();
  if (HasFatalFailure()) return;
  PullBusybox();
  if (HasFatalFailure()) return;
  before_ = TakeInventory(Scope());
  set_up_ = true;
}

void OnNode::TearDown() {
  if (!daemon_) return;
  if (set_up_) {
    if (!daemon_->running()) StartAgain();
    RemoveEverything();
    ExpectNothingLeft();
  }
  if (daemon_->running()) {
    if (auto stopped = daemon_->Stop(); !stopped) ADD_FAILURE() << stopped.error().Text();
  }
  if (set_up_) {
    InventoryScope scope = Scope();
    scope.file_roots.clear();
    for (const std::string& line : WaitForInventory(outside_, scope, 30s))
      ADD_FAILURE() << "after the daemon's end: " << line;
  }
  if (HasFailure()) {
    std::fprintf(stderr, "--- end of %s\n%s---\n", daemon_->log_file().c_str(), daemon_->Log(6000).c_str());
  }
  daemon_.reset();
  cri_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(run_folder_, ignored);
  if (!HasFailure() || !::getenv("BERTH_E2E_KEEP")) std::filesystem::remove_all(folder_, ignored);
}

InventoryScope OnNode::Scope() const {
  InventoryScope scope{.address_folder = daemon_->address_folder(),
                       .file_roots = {daemon_->options().state_root, daemon_->options().run_root},
                       .ignored_files = {},
                       .systemd = isolation.systemd};
  if (images_change_) scope.ignored_files = ImageFolders();
  return scope;
}

void OnNode::PullBusybox() {
  auto pulled = cri().Pull(Image());
  ASSERT_CALL_OK(pulled);
}

void OnNode::StartAgain() {
  ASSERT_STATUS_OK(daemon_->Start());
  Connect();
}

void OnNode::Connect() {
  cri_ = std::make_unique<Cri>(daemon_->socket());
}

void OnNode::Restart(bool kill) {
  ASSERT_STATUS_OK(kill ? daemon_->Kill() : daemon_->Stop());
  StartAgain();
}

void OnNode::RemoveEverything() {
  auto pods = cri().Pods();
  ASSERT_CALL_OK(pods);
  for (const auto& pod : pods->items()) {
    auto stopped = cri().StopPod(pod.id());
    EXPECT_CALL_OK(stopped);
    auto removed = cri().RemovePod(pod.id());
    EXPECT_CALL_OK(removed);
  }
  RemovePodCgroups();
}

void OnNode::RemovePodCgroups() {
  for (const std::string& parent : pod_cgroups_) {
    if (isolation.systemd) {
      (void)base::Run({.spawn = {.program = "/usr/bin/systemctl",
                                 .arguments = {"systemctl", "stop", parent},
                                 .environment = {"PATH=/usr/bin:/bin"}}},
                      base::Context().WithTimeout(60s));
      continue;
    }
    auto names = base::ListFolder("/sys/fs/cgroup");
    std::vector<Path> roots{"/sys/fs/cgroup"};
    for (const std::string& name : names ? *names : std::vector<std::string>())
      roots.push_back(Path("/sys/fs/cgroup") / name);
    for (const Path& root : roots) ::rmdir((root / Path(parent).relative_path()).c_str());
  }
}

void OnNode::ExpectNothingLeft() {
  struct stat null {};
  EXPECT_EQ(::stat("/dev/null", &null), 0);
  EXPECT_EQ(null.st_uid, 0U) << "the node's null device was given away";
  // A pod's cgroup is the kubelet's to remove, which it can once the runtime has removed what was in it.
  std::vector<std::string> left;
  for (int attempt = 0; attempt < 30; ++attempt) {
    RemovePodCgroups();
    left = WaitForInventory(before_, Scope(), 1s);
    if (left.empty()) return;
  }
  for (const std::string& line : left) ADD_FAILURE() << line;
}

void OnNode::ExpectImagesToChange() {
  images_change_ = true;
  if (!set_up_) return;
  for (const Path& folder : ImageFolders()) {
    const std::string& images = folder.native();
    std::erase_if(before_["file"],
                  [&](const std::string& file) { return file == images || file.starts_with(images + "/"); });
  }
}

void OnNode::ExpectTimesOfPullsToGo() {
  const std::string below = (daemon_->options().run_root / "pulls").native() + "/";
  std::erase_if(before_["file"], [&](const std::string& file) { return file.starts_with(below); });
}

std::vector<Path> OnNode::ImageFolders() const {
  return {daemon_->options().state_root / "images", daemon_->options().run_root / "pulls"};
}

v1::PodSandboxConfig OnNode::Pod(const std::string& name) {
  std::string uid = Cat("0a1b2c3d-0000-4000-8000-", 100000000000 + (::getpid() % 100000) * 100000 + ++pods_);
  v1::PodSandboxConfig pod;
  pod.mutable_metadata()->set_name(name);
  pod.mutable_metadata()->set_namespace_("default");
  pod.mutable_metadata()->set_uid(uid);
  pod.set_hostname(name);
  pod.set_log_directory((folder_ / "podlogs" / Cat("default_", name, "_", uid)).string());
  auto* dns = pod.mutable_dns_config();
  dns->add_servers("192.0.2.10");
  dns->add_searches("default.svc.cluster.local");
  dns->add_searches("cluster.local");
  dns->add_options("ndots:5");
  (*pod.mutable_labels())["io.kubernetes.pod.name"] = name;
  (*pod.mutable_labels())["io.kubernetes.pod.namespace"] = "default";
  (*pod.mutable_labels())["io.kubernetes.pod.uid"] = uid;
  (*pod.mutable_annotations())["kubernetes.io/config.source"] = "api";
  std::string parent = Cat("/kubepods/besteffort/pod", uid);
  if (isolation.systemd) {
    std::string escaped = uid;
    std::ranges::replace(escaped, '-', '_');
    parent = Cat("kubepods-besteffort-pod", escaped, ".slice");
  } else {
    MakePodCgroup(parent);
  }
  pod_cgroups_.push_back(parent);
  auto* linux_part = pod.mutable_linux();
  linux_part->set_cgroup_parent(parent);
  auto* security = linux_part->mutable_security_context();
  security->mutable_namespace_options()->set_pid(v1::CONTAINER);
  security->mutable_namespace_options()->mutable_userns_options()->set_mode(v1::NODE);
  security->mutable_seccomp()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
  linux_part->mutable_overhead();
  linux_part->mutable_resources()->set_cpu_period(100000);
  linux_part->mutable_resources()->set_cpu_shares(2);
  return pod;
}

v1::ContainerConfig OnNode::Container(const std::vector<std::string>& command, const std::string& name) {
  v1::ContainerConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_image()->set_image(Image());
  config.mutable_image()->set_user_specified_image(Image());
  config.mutable_command()->Assign(command.begin(), command.end());
  auto* env = config.add_envs();
  env->set_key("KUBERNETES_SERVICE_HOST");
  env->set_value("10.97.0.1");
  (*config.mutable_labels())["io.kubernetes.container.name"] = name;
  (*config.mutable_annotations())["io.kubernetes.container.restartCount"] = "0";
  (*config.mutable_annotations())["io.kubernetes.pod.terminationGracePeriod"] = "30";
  config.set_log_path(Cat(name, "/0.log"));
  auto* linux_part = config.mutable_linux();
  linux_part->mutable_resources()->set_cpu_period(100000);
  linux_part->mutable_resources()->set_cpu_shares(2);
  linux_part->mutable_resources()->set_oom_score_adj(1000);
  auto* security = linux_part->mutable_security_context();
  security->mutable_namespace_options()->set_pid(v1::CONTAINER);
  security->mutable_namespace_options()->mutable_userns_options()->set_mode(v1::NODE);
  security->mutable_run_as_user();
  for (const char* path : {"/proc/acpi", "/proc/kcore", "/proc/keys", "/sys/firmware"})
    security->add_masked_paths(path);
  for (const char* path : {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"}) security->add_readonly_paths(path);
  security->mutable_seccomp()->set_profile_type(v1::SecurityProfile::Unconfined);
  return config;
}

std::string OnNode::RunPod(const v1::PodSandboxConfig& config) {
  auto run = cri().RunPod(config, Handler());
  EXPECT_CALL_OK(run);
  return run->pod_sandbox_id();
}

Made OnNode::CreateContainer(const std::vector<std::string>& command,
                             const std::function<void(v1::PodSandboxConfig&, v1::ContainerConfig&)>& change) {
  Made made{.pod = {}, .container = {}, .pod_config = Pod(), .config = Container(command)};
  if (change) change(made.pod_config, made.config);
  made.pod = RunPod(made.pod_config);
  if (made.pod.empty()) return made;
  auto created = cri().Create(made.pod, made.config, made.pod_config);
  EXPECT_CALL_OK(created);
  made.container = created->container_id();
  return made;
}

Made OnNode::RunContainer(const std::vector<std::string>& command,
                          const std::function<void(v1::PodSandboxConfig&, v1::ContainerConfig&)>& change) {
  Made made = CreateContainer(command, change);
  if (made.container.empty()) return made;
  auto started = cri().Start(made.container);
  EXPECT_CALL_OK(started);
  return made;
}

bool OnNode::Eventually(const std::function<bool()>& done, std::chrono::milliseconds limit) {
  for (auto end = base::Monotonic::now() + limit; !done(); std::this_thread::sleep_for(10ms)) {
    if (base::Monotonic::now() > end) return false;
  }
  return true;
}

v1::ContainerStatus OnNode::WaitExited(const std::string& container, std::chrono::milliseconds limit) {
  v1::ContainerStatus status;
  bool exited = Eventually(
      [&] {
        auto reply = cri().Status(container);
        if (!reply.ok()) return false;
        status = reply->status();
        return status.state() == v1::CONTAINER_EXITED;
      },
      limit);
  EXPECT_TRUE(exited) << "the container did not exit; state " << v1::ContainerState_Name(status.state());
  return status;
}

std::vector<std::string> InstalledRuntimes() {
  std::vector<std::string> names;
  for (const char* name : {"crun", "runc"}) {
    if (!OciRuntime(name).empty()) names.emplace_back(name);
  }
  return names;
}

std::vector<LogRecord> ReadLog(const Path& path) {
  std::vector<LogRecord> records;
  auto text = base::ReadFile(path, 256 << 20);
  if (!text) return records;
  std::string_view rest = *text;
  while (!rest.empty()) {
    size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    LogRecord record;
    size_t first = line.find(' ');
    size_t second = first == std::string_view::npos ? first : line.find(' ', first + 1);
    size_t third = second == std::string_view::npos ? second : line.find(' ', second + 1);
    if (third == std::string_view::npos || end == std::string_view::npos) {
      record.content = line;
    } else {
      record = {std::string(line.substr(0, first)), std::string(line.substr(first + 1, second - first - 1)),
                std::string(line.substr(second + 1, third - second - 1)), std::string(line.substr(third + 1))};
    }
    records.push_back(std::move(record));
  }
  return records;
}

std::string LogText(const Path& path, const std::string& stream) {
  std::string text;
  for (const LogRecord& record : ReadLog(path)) {
    if (record.stream != stream) continue;
    text += record.content;
    if (record.tag == "F") text += '\n';
  }
  return text;
}

}  // namespace berth::e2e
