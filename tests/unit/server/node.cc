#include "tests/unit/server/node.h"

#include <algorithm>

#include "container/containers.h"
#include "kernel/mount.h"
#include "server/event_reply.h"
#include "tests/unit/image/tar_builder.h"

namespace berth::server {
namespace {

constexpr const char* kCniResult =
    R"({"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/n"}],"ips":[{"address":"10.0.0.2/24","interface":0}]})";

std::string TextIn(const base::Path& folder, const std::string& name) {
  return folder.filename().native() + "/" + name;
}

}  // namespace

void Node::SetUp() {
  if (geteuid() != 0) GTEST_SKIP() << "mounting a container's root needs root";
  temp_.emplace();
  MakeFolders();
  MakeServices();
  keep_running_.emplace(loop_.get_executor());
  loop_thread_ = std::thread([this] { loop_.run(); });
  PutImage("registry.example/app:1", "7", 10);
}

void Node::MakeFolders() {
  config_.state_root = temp_->Folder("state");
  config_.run_root = temp_->Folder("run");
  Run("exec sleep 1000");
  for (const char* name : {"state/trash", "fake-runtime", "net.d", "netns", "logs"}) temp_->Folder(name);
  temp_->File("net.d/10-a.conflist", R"({"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"first"}]})");
  // No hierarchy is ours to write to here, and with the systemd driver none is written to.
  for (const char* name : {"cgroup/pids", "cgroup/memory"}) EXPECT_OK(base::MakeDirs(*temp_ / name));
  temp_->File("mountinfo",
              base::Cat("31 22 0:31 / ", (*temp_ / "cgroup/pids").native(), " rw - cgroup cgroup rw,pids\n",
                        "32 22 0:32 / ", (*temp_ / "cgroup/memory").native(), " rw - cgroup cgroup rw,memory\n"));
}

void Node::MakeServices() {
  const auto network_options = [&] {
    network::Options options{.conf_dir = *temp_ / "net.d", .cache_dir = *temp_ / "state/cni"};
    options.runner = [this](int) { return std::make_unique<network::FakeRunner>(plugins_); };
    return options;
  };
  plugins_->Answers("first ADD", kCniResult);
  executors_ = std::make_unique<Executors>(config_.limits);
  cgroups_ = std::make_unique<kernel::CgroupTree>(kernel::CgroupTree::Detect(*temp_ / "mountinfo").value());
  paths_ = std::make_unique<kernel::ForeignPaths>(
      kernel::ForeignPaths::Options{.helper = BERTH_HELPER, .deadline = std::chrono::seconds(60)});
  runtime_ =
      std::make_shared<oci::FakeRuntime>(*temp_ / "fake-runtime", "exec /bin/sh " + (*temp_ / "script").native());
  runtimes_ = {{"fake", runtime_}};
  images_ = image::Store::Open({.folder = config_.state_root / "images"}).value();
  images_->Collect();
  puller_ = std::make_unique<image::Puller>(image::Puller::Options{
      .store = images_.get(), .registry = {.attempts = 1, .first_delay = std::chrono::milliseconds(1)}});
  network_ = network::Network::Open(network_options()).value();
  undoers_ = container::ContainerUndoers(runtimes_, *cgroups_, systemd_);
  undoers_.merge(sandbox::SandboxUndoers(*network_, *cgroups_, systemd_));
  leftovers_ = std::make_unique<state::LeftoverQueue>(
      state::LeftoverQueue::Options{.undoers = undoers_, .first_pause = std::chrono::milliseconds(1)});
  timelines_ = std::make_unique<state::Timelines>(config_.run_root / "timelines");
  ASSERT_OK(timelines_->Open([](const std::string&) { return false; }));
  events_ = std::make_unique<Events>(
      Events::Options{.describe = [this](const Change& change,
                                         cri::ContainerEventResponse& out) { DescribeEvent(*services_, change, out); },
                      .executor = &executors_->query});
  container::Parts parts{
      .state_folder = config_.state_root / "containers",
      .run_folder = config_.run_root / "containers",
      .trash_folder = config_.state_root / "trash",
      .monitor = BERTH_MONITOR,
      .boot_id = "boot",
      .systemd_cgroup = true,
      .cgroups = cgroups_.get(),
      .systemd = &systemd_,
      .paths = paths_.get(),
      .images = images_.get(),
      .leftovers = leftovers_.get(),
      .undoers = &undoers_,
      .timelines = timelines_.get(),
      .runtimes = &runtimes_,
      .has_criu = [this] { return has_criu_; },
      .work = &executors_->work,
      .disk = &executors_->disk,
      .stops = &executors_->stops,
      .removal = &executors_->removal,
      .changed = [this](const auto& before, const auto& after) { events_->OnContainer(before, after); },
      .loop = &loop_};
  containers_ = std::make_unique<container::Containers>(std::move(parts));
  sandboxes_ = std::make_unique<sandbox::Sandboxes>(
      sandbox::Parts{.state_folder = config_.state_root / "sandboxes",
                     .run_folder = config_.run_root / "sandboxes",
                     .netns_folder = *temp_ / "netns",
                     .pause = BERTH_PAUSE,
                     .helper = BERTH_HELPER,
                     .images_folder = config_.state_root / "images",
                     .boot_id = "boot",
                     .systemd_cgroup = true,
                     .default_runtime = "fake",
                     .cgroups = cgroups_.get(),
                     .systemd = &systemd_,
                     .paths = paths_.get(),
                     .network = network_.get(),
                     .containers = containers_.get(),
                     .runtimes = &runtimes_,
                     .leftovers = leftovers_.get(),
                     .undoers = &undoers_,
                     .timelines = timelines_.get(),
                     .work = &executors_->pod_work,
                     .end_work = &executors_->pod_end_work,
                     .disk = &executors_->disk,
                     .loop = &loop_,
                     .changed = [this](const auto& before, const auto& after) { events_->OnSandbox(before, after); }});
  const auto report = [](const std::string& problem) { ADD_FAILURE() << problem; };
  ASSERT_OK(containers_->Recover(report));
  ASSERT_OK(sandboxes_->Recover(report));
  stats_ =
      std::make_unique<stats::Collector>(stats::Collector::Options{.cgroups = cgroups_.get(), .keep_files = false});
  streaming_ = streaming::Server::Start({.callbacks = {}, .work = &executors_->exec}).value();
  services_ =
      std::make_unique<Services>(Services{.config = config_,
                                          .sandboxes = *sandboxes_,
                                          .containers = *containers_,
                                          .images = *images_,
                                          .puller = *puller_,
                                          .network = *network_,
                                          .streaming = *streaming_,
                                          .stats = *stats_,
                                          .runtimes = runtimes_,
                                          .timelines = *timelines_,
                                          .pulls = *timelines_,
                                          .default_runtime = "fake",
                                          .systemd_cgroup = true,
                                          .problems = [] { return std::vector<std::string>{"a record was broken"}; }});
}

void Node::TearDown() {
  if (!services_) return;
  for (const auto& pod : sandboxes_->List()) EXPECT_OK(sandboxes_->Remove(pod->id, Bounded()));
  EXPECT_EQ(Leftovers(), std::vector<std::string>());
  keep_running_.reset();
  loop_.stop();
  loop_thread_.join();
  executors_.reset();
  EXPECT_OK(kernel::Unmount(*temp_ / "netns"));  // bound to itself, as /run/netns is
}

std::vector<std::string> Node::Leftovers() const {
  std::vector<std::string> out;
  for (const char* name : {"state/sandboxes", "state/containers", "state/cni/results", "run/sandboxes",
                           "run/containers", "netns", "fake-runtime"}) {
    for (const std::string& entry : base::ListFolder(*temp_ / name).value_or(std::vector<std::string>()))
      out.push_back(TextIn(name, entry));
  }
  return out;
}

cri::RunPodSandboxRequest Node::PodRequest(const std::string& name) const {
  cri::RunPodSandboxRequest request = NetworkPodRequest(name);
  auto& options = *request.mutable_config()->mutable_linux()->mutable_security_context()->mutable_namespace_options();
  options.set_network(cri::NODE);
  options.set_ipc(cri::NODE);
  return request;
}

cri::RunPodSandboxRequest Node::NetworkPodRequest(const std::string& name) const {
  cri::RunPodSandboxRequest request;
  cri::PodSandboxConfig& config = *request.mutable_config();
  config.mutable_metadata()->set_name(name);
  config.mutable_metadata()->set_namespace_("shop");
  config.mutable_metadata()->set_uid("uid-" + name);
  config.set_log_directory((*temp_ / "logs" / name).native());
  config.mutable_linux()->set_cgroup_parent("test.slice");
  config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(cri::CONTAINER);
  (*config.mutable_labels())["app"] = name;
  return request;
}

cri::CreateContainerRequest Node::ContainerRequest(const std::string& sandbox, const std::string& name) const {
  cri::CreateContainerRequest request;
  request.set_pod_sandbox_id(sandbox);
  cri::ContainerConfig& config = *request.mutable_config();
  config.mutable_metadata()->set_name(name);
  config.mutable_image()->set_image("registry.example/app:1");
  config.add_command("/bin/app");
  config.set_log_path(name + ".log");
  auto& namespaces = *config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  namespaces.set_pid(cri::CONTAINER);
  if (const auto pod = services_->sandboxes.Find(sandbox))
    namespaces = (*pod)->config->linux().security_context().namespace_options();
  (*config.mutable_labels())["name"] = name;
  return request;
}

std::string Node::RunPod(const cri::RunPodSandboxRequest& request) {
  const auto reply = RunPodSandbox(services(), request, Bounded());
  EXPECT_TRUE(reply) << TextOf(reply);
  return reply ? reply->pod_sandbox_id() : "";
}

std::string Node::Create(const cri::CreateContainerRequest& request) {
  const auto reply = CreateContainer(services(), request, Bounded());
  EXPECT_TRUE(reply) << TextOf(reply);
  return reply ? reply->container_id() : "";
}

void Node::Start(const std::string& container) {
  cri::StartContainerRequest request;
  request.set_container_id(container);
  const auto reply = StartContainer(services(), request, Bounded());
  EXPECT_TRUE(reply) << TextOf(reply);
}

std::string Node::CreateStarted(const std::string& sandbox, const std::string& name) {
  const std::string id = Create(sandbox, name);
  Start(id);
  return id;
}

image::ImagePtr Node::PutImage(const std::string& tag, const std::string& user, uint64_t size) {
  auto unpacker = images_->BeginLayer().value();
  EXPECT_OK(unpacker->Write(image::Bytes(
      image::Gzip(image::Tar({image::Folder("etc"), image::File("etc/passwd", "app:x:7:7::/:/bin/app\n")})))));
  auto layer = unpacker->Finish({}).value();
  image::Image made;
  made.config_json = base::Cat(R"({"architecture":"amd64","os":"linux","author":")", tag, R"(","config":{"User":")",
                               user, R"("},"rootfs":{"type":"layers","diff_ids":[")", layer.diff_id.str(), "\"]}}");
  const image::Digest chain_id = image::ChainId({}, layer.diff_id);
  const auto pin = images_->CommitLayer(std::move(layer), chain_id, {}, {});
  EXPECT_TRUE(pin) << TextOf(pin);
  made.manifest_digest = image::Sha256::Of(tag);
  made.repo_tags = {tag};
  made.repo_digests = {base::Cat(tag.substr(0, tag.rfind(':')), "@", made.manifest_digest.str())};
  made.size = size;
  const auto put = images_->PutImage(std::move(made));
  EXPECT_TRUE(put) << TextOf(put);
  return put.value_or(nullptr);
}

void Node::Run(const std::string& script) {
  EXPECT_OK(base::WriteFile(*temp_ / "script", script + "\n"));
}

void Node::RunLeftovers() {
  leftovers_->RunDue(std::chrono::seconds(60));
}

cri::ContainerStatus Node::StatusOf(const std::string& container) {
  cri::ContainerStatusRequest request;
  request.set_container_id(container);
  const auto reply = ContainerStatus(services(), request, Bounded());
  EXPECT_TRUE(reply) << TextOf(reply);
  return reply ? reply->status() : cri::ContainerStatus();
}

bool Node::Exits(const std::string& container) {
  return Eventually([&] { return StatusOf(container).state() == cri::CONTAINER_EXITED; });
}

size_t Node::CountPlugin(const std::string& call) {
  const auto commands = plugins_->Commands();
  return static_cast<size_t>(std::count(commands.begin(), commands.end(), call));
}

size_t Node::CountRuntime(const std::string& verb) const {
  const auto calls = runtime_->Calls();
  return static_cast<size_t>(
      std::count_if(calls.begin(), calls.end(), [&](const std::string& call) { return call.starts_with(verb); }));
}

}  // namespace berth::server
