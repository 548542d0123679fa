// A pod's life as a kubelet 1.36 asked for it: its recorded messages (kubelet/*.txtpb), with this run's paths and ids.
#include <google/protobuf/text_format.h>

#include <filesystem>

#include "base/strings.h"
#include "tests/e2e/harness/fixture.h"
#include "tests/e2e/harness/paths.h"

namespace berth::e2e {
namespace {

using base::Cat;
using base::Path;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class Kubelet : public OnRuntime {
 protected:
  using Values = std::map<std::string, std::string>;

  template <typename Message>
  Message Recorded(const std::string& name, const Values& values) {
    auto text = base::ReadFile(KubeletMessage(name));
    EXPECT_TRUE(text) << name;
    std::string filled = text.value_or("");
    // The longest names first: $IMAGE_ID is not $IMAGE and "_ID".
    for (auto value = values.rbegin(); value != values.rend(); ++value) {
      const std::string mark = "$" + value->first;
      for (size_t at = 0; (at = filled.find(mark, at)) != std::string::npos; at += value->second.size()) {
        filled.replace(at, mark.size(), value->second);
      }
    }
    Message message;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(filled, &message)) << name;
    return message;
  }

  // Another container of the recorded pod, as the kubelet changes its request for it.
  static v1::CreateContainerRequest Another(v1::CreateContainerRequest request, const std::string& name, int attempt,
                                            const std::vector<std::string>& args) {
    auto& config = *request.mutable_config();
    config.mutable_metadata()->set_name(name);
    config.mutable_metadata()->set_attempt(static_cast<uint32_t>(attempt));
    (*config.mutable_labels())["io.kubernetes.container.name"] = name;
    (*config.mutable_annotations())["io.kubernetes.container.restartCount"] = std::to_string(attempt);
    config.set_log_path(Cat(name, "/", attempt, ".log"));
    config.mutable_args()->Assign(args.begin(), args.end());
    return request;
  }
  std::string Made(const v1::CreateContainerRequest& request) {
    const auto created = cri().Create(request.pod_sandbox_id(), request.config(), request.sandbox_config());
    EXPECT_CALL_OK(created);
    EXPECT_CALL_OK(cri().Start(created->container_id()));
    return created->container_id();
  }
  static Path LogOf(const v1::CreateContainerRequest& request) {
    return Path(request.sandbox_config().log_directory()) / request.config().log_path();
  }
  template <typename Request, typename Answer>
  Answer Asked(grpc::Status (v1::RuntimeService::Stub::*method)(grpc::ClientContext*, const Request&, Answer*),
               const Request& request = {}) {
    const auto reply = cri().Call(method, request);
    EXPECT_CALL_OK(reply);
    return reply.value;
  }
  // A file of the container's own cgroup, where it sees it on cgroup v1 and on v2.
  std::string GroupFile(const std::string& container, const std::string& v1_name, const std::string& v2_name) {
    const bool unified = base::Exists("/sys/fs/cgroup/cgroup.controllers");
    const auto ran = cri().Exec(container, {"cat", "/sys/fs/cgroup/" + (unified ? v2_name : v1_name)});
    EXPECT_CALL_OK(ran);
    return ran->stdout();
  }
};
ON_EVERY_RUNTIME(Kubelet);

TEST_P(Kubelet, PodLivesFromTheFirstCallToTheLast) {
  using Stub = v1::RuntimeService::Stub;
  ExpectImagesToChange();

  // The node comes up.
  EXPECT_EQ(Asked(&Stub::Version, v1::VersionRequest()).runtime_api_version(), "v1");
  EXPECT_TRUE(Asked(&Stub::RuntimeConfig, v1::RuntimeConfigRequest()).has_linux());
  for (const auto status = Asked(&Stub::Status, v1::StatusRequest());
       const auto& condition : status.status().conditions()) {
    EXPECT_TRUE(condition.status()) << condition.type() << ": " << condition.message();
  }
  EXPECT_THAT(cri().Pods()->items(), IsEmpty());
  EXPECT_THAT(cri().Containers()->containers(), IsEmpty());
  const auto usage = cri().Call(&v1::ImageService::Stub::ImageFsInfo, v1::ImageFsInfoRequest());
  ASSERT_EQ(usage->image_filesystems_size(), 1);
  EXPECT_TRUE(base::Exists(usage->image_filesystems(0).fs_id().mountpoint()));

  // The image.
  const std::string image = Image("busybox:zstd");
  EXPECT_FALSE(cri().ImageStatus(image)->has_image());
  const auto pulled = cri().Pull(image);
  ASSERT_CALL_OK(pulled);
  const std::string image_id = pulled->image_ref();
  EXPECT_EQ(cri().ImageStatus(image)->image().id(), image_id);

  // The pod. What the kubelet makes before it asks: cgroup, folders, files.
  const v1::PodSandboxConfig like = Pod("one");
  Values values = {
      {"NODE", folder().string()}, {"UID", like.metadata().uid()}, {"IMAGE", image}, {"IMAGE_ID", image_id}};
  auto run = Recorded<v1::RunPodSandboxRequest>("RunPodSandbox", values);
  run.mutable_config()->mutable_linux()->set_cgroup_parent(like.linux().cgroup_parent());
  run.set_runtime_handler(GetParam());
  const auto started = cri().Call(&Stub::RunPodSandbox, run);
  ASSERT_CALL_OK(started);
  const std::string pod = values["POD"] = started->pod_sandbox_id();
  const auto pod_status = cri().PodStatus(pod);
  EXPECT_EQ(pod_status->status().state(), v1::SANDBOX_READY);
  EXPECT_THAT(pod_status->status().network().ip(), StartsWith("10."));
  EXPECT_THAT(Recorded<v1::RunPodSandboxRequest>("RunPodSandbox", values).config().labels().size(),
              pod_status->status().labels().size());

  auto create = Recorded<v1::CreateContainerRequest>("CreateContainer", values);
  *create.mutable_sandbox_config() = run.config();
  for (const auto& mount : create.config().mounts()) {
    const Path host = mount.host_path();
    const bool folder_of_files = host.filename().native().starts_with("kube-api-access");
    ASSERT_STATUS_OK(base::MakeDirs(folder_of_files ? host : host.parent_path()));
    ASSERT_STATUS_OK(base::WriteFile(folder_of_files ? host / "token" : host, folder_of_files ? "secret" : "", 0644));
  }

  // An init container, a sidecar, the container.
  const auto init =
      Another(create, "init", 0,
              {"sh", "-c", "test -w /dev/termination-log && cat /var/run/secrets/kubernetes.io/serviceaccount/token"});
  const std::string init_id = Made(init);
  EXPECT_EQ(WaitExited(init_id).exit_code(), 0);
  EXPECT_EQ(LogText(LogOf(init)), "secret");
  const std::string sidecar_id =
      Made(Another(create, "sidecar", 0, {"sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"}));
  const std::string id = values["CONTAINER"] = Made(create);
  ASSERT_TRUE(Eventually([&] { return LogText(LogOf(create)).starts_with("first\n"); }));
  auto status = cri().Status(id)->status();
  EXPECT_EQ(status.state(), v1::CONTAINER_RUNNING);
  EXPECT_EQ(status.image_id(), image_id);
  EXPECT_EQ(status.mounts_size(), create.config().mounts_size());
  for (int i = 0; i < status.mounts_size(); ++i) EXPECT_THAT(status.mounts(i), SameMessage(create.config().mounts(i)));
  for (const auto& [key, value] : create.config().annotations()) EXPECT_EQ(status.annotations().at(key), value);
  for (const auto& [key, value] : create.config().labels()) EXPECT_EQ(status.labels().at(key), value);
  EXPECT_EQ(status.resources().linux().cpu_shares(), 2);

  // Probes, a resize, a rotation.
  EXPECT_EQ(cri().Exec(id, {"sh", "-c", "exit 3"})->exit_code(), 3);
  const auto update = Recorded<v1::UpdateContainerResourcesRequest>("UpdateContainerResources", values);
  Asked(&Stub::UpdateContainerResources, update);
  status = cri().Status(id)->status();
  EXPECT_EQ(status.resources().linux().memory_limit_in_bytes(), 100663296);
  EXPECT_EQ(status.resources().linux().cpu_quota(), 20000);
  EXPECT_EQ(status.resources().linux().cpu_shares(), 102);
  EXPECT_EQ(GroupFile(id, "memory/memory.limit_in_bytes", "memory.max"), "100663296\n");
  EXPECT_THAT(GroupFile(id, "cpu/cpu.cfs_quota_us", "cpu.max"), StartsWith("20000"));
  Asked(&Stub::UpdatePodSandboxResources,
        Recorded<v1::UpdatePodSandboxResourcesRequest>("UpdatePodSandboxResources", values));
  const Path rotated = LogOf(create).string() + ".20261124-000000";
  std::filesystem::rename(LogOf(create), rotated);
  ASSERT_CALL_OK(cri().ReopenLog(id));
  EXPECT_TRUE(Eventually([&] { return !ReadLog(LogOf(create)).empty(); }));
  EXPECT_THAT(LogText(rotated), StartsWith("first\n"));

  // It ends and is made again; the old one goes later, as the kubelet keeps one for `kubectl logs --previous`.
  auto stop = Recorded<v1::StopContainerRequest>("StopContainer", values);
  stop.set_timeout(0);
  Asked(&Stub::StopContainer, stop);
  EXPECT_EQ(cri().Status(id)->status().exit_code(), 137);
  const auto again = Another(create, "one", 1, {create.config().args().begin(), create.config().args().end()});
  const std::string again_id = Made(again);

  // Somebody looks into it.
  auto debug = Another(create, "debugger", 0, {"sh", "-c", "ps -o args | grep -c '[d]ate'"});
  debug.mutable_config()->mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(v1::TARGET);
  debug.mutable_config()->mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_target_id(
      again_id);
  EXPECT_EQ(WaitExited(Made(debug)).exit_code(), 0);
  EXPECT_EQ(LogText(LogOf(debug)), "1\n");

  // The pod goes: containers, then sandbox, each more than once.
  for (const std::string& one : {again_id, sidecar_id}) EXPECT_CALL_OK(cri().Stop(one, 2));
  EXPECT_EQ(cri().Status(sidecar_id)->status().exit_code(), 0);
  for (int i = 0; i < 2; ++i) EXPECT_CALL_OK(cri().StopPod(pod));
  EXPECT_EQ(cri().PodStatus(pod)->status().state(), v1::SANDBOX_NOTREADY);
  const auto left = cri().Containers();
  EXPECT_EQ(left->containers_size(), 5);
  for (const auto& one : left->containers()) EXPECT_CALL_OK(cri().Remove(one.id()));
  for (int i = 0; i < 2; ++i) EXPECT_CALL_OK(cri().RemovePod(pod));
  EXPECT_EQ(cri().PodStatus(pod).code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_CALL_OK(cri().RemoveImage(image));
  EXPECT_FALSE(cri().ImageStatus(image)->has_image());
}

}  // namespace
}  // namespace berth::e2e
