// What is wrong with a request is told by code and text before anything is done.
#include <functional>

#include "tests/unit/server/node.h"

namespace berth::server {
namespace {

class Arguments : public Node {
 protected:
  template <typename Request, typename Reply>
  void Expect(base::Result<Reply> (*handler)(Services&, const Request&, const base::Context&), const Request& request,
              const std::string& code, const std::string& text = "OK") {
    const auto reply = handler(services(), request, Bounded());
    EXPECT_EQ(CodeOf(reply), code);
    EXPECT_EQ(TextOf(reply), text);
  }
};

TEST_F(Arguments, OfRunPodSandbox) {
  Expect(RunPodSandbox, {}, "INVALID_ARGUMENT", "config is missing");
  auto request = PodRequest("web");
  request.mutable_config()->mutable_metadata()->clear_uid();
  Expect(RunPodSandbox, request, "INVALID_ARGUMENT", "config.metadata.uid is missing");
  request = PodRequest("web");
  request.set_runtime_handler("kata");
  Expect(RunPodSandbox, request, "INVALID_ARGUMENT", "no runtime handler \"kata\" is configured");
  EXPECT_EQ(Leftovers(), std::vector<std::string>());
}

TEST_F(Arguments, OfCreateContainer) {
  Expect(CreateContainer, {}, "INVALID_ARGUMENT", "config is missing");
  Expect(CreateContainer, ContainerRequest("", "app"), "INVALID_ARGUMENT", "sandbox id is missing");
  Expect(CreateContainer, ContainerRequest("nowhere", "app"), "NOT_FOUND", "sandbox \"nowhere\": not found");
  const std::string pod = RunPod("web");
  auto request = ContainerRequest(pod, "");
  Expect(CreateContainer, request, "INVALID_ARGUMENT", "config.metadata.name is missing");
  request = ContainerRequest(pod, "app");
  request.mutable_config()->mutable_image()->set_image("registry.example/other:1");
  const auto reply = CreateContainer(services(), request, Bounded());
  EXPECT_EQ(CodeOf(reply), "NOT_FOUND");
  EXPECT_NE(TextOf(reply).find("registry.example/other:1"), std::string::npos) << TextOf(reply);
}

TEST_F(Arguments, AnImageForAHandlerThatThereIsNotIsRefused) {
  const std::string text = "image.runtime_handler: no runtime handler \"kata\" is configured";
  const auto of_image = [](auto request) {
    request.mutable_image()->set_image("app:1");
    request.mutable_image()->set_runtime_handler("kata");
    return request;
  };
  Expect(ImageStatus, of_image(cri::ImageStatusRequest()), "INVALID_ARGUMENT", text);
  Expect(PullImage, of_image(cri::PullImageRequest()), "INVALID_ARGUMENT", text);
  Expect(RemoveImage, of_image(cri::RemoveImageRequest()), "INVALID_ARGUMENT", text);
  cri::ListImagesRequest list;
  list.mutable_filter()->mutable_image()->set_runtime_handler("kata");
  Expect(ListImages, list, "INVALID_ARGUMENT", text);
  auto create = ContainerRequest(RunPod("web"), "app");
  create.mutable_config()->mutable_image()->set_runtime_handler("kata");
  Expect(CreateContainer, create, "INVALID_ARGUMENT", "config: " + text);
  create.mutable_config()->mutable_image()->clear_runtime_handler();
  create.mutable_config()->add_mounts()->set_container_path("/data");
  create.mutable_config()->mutable_mounts(0)->mutable_image()->set_runtime_handler("kata");
  Expect(CreateContainer, create, "INVALID_ARGUMENT", "mount /data: " + text);
}

TEST_F(Arguments, AStopSignalThatThereIsNotIsRefused) {
  auto create = ContainerRequest(RunPod("web"), "app");
  create.mutable_config()->set_stop_signal(static_cast<cri::Signal>(99));
  Expect(CreateContainer, create, "INVALID_ARGUMENT", "config.stop_signal: unknown value 99");
}

TEST_F(Arguments, AnImageIsMountedReadOnlyPrivatelyAndAlone) {
  const std::string pod = RunPod("web");
  const auto with = [&](const std::function<void(cri::Mount&)>& change) {
    auto create = ContainerRequest(pod, "app");
    cri::Mount& mount = *create.mutable_config()->add_mounts();
    mount.set_container_path("/data");
    mount.set_readonly(true);
    mount.mutable_image()->set_image("registry.example/app:1");
    change(mount);
    return create;
  };
  const std::string prefix = "ImageVolumeMountFailed: mount /data: ";
  Expect(CreateContainer, with([](cri::Mount& mount) { mount.set_host_path("/usr"); }), "INVALID_ARGUMENT",
         prefix + "host_path and image exclude each other");
  Expect(CreateContainer, with([](cri::Mount& mount) { mount.set_readonly(false); }), "INVALID_ARGUMENT",
         prefix + "an image can only be mounted read-only");
  Expect(CreateContainer, with([](cri::Mount& mount) { mount.set_propagation(cri::PROPAGATION_HOST_TO_CONTAINER); }),
         "INVALID_ARGUMENT", prefix + "an image can only be mounted privately");
  Expect(CreateContainer, with([](cri::Mount& mount) { mount.set_image_sub_path("../up"); }), "INVALID_ARGUMENT",
         prefix + "image_sub_path \"../up\" is not a relative path inside the image");
}

template <typename Request>
Request WithContainer(const std::string& id) {
  Request request;
  request.set_container_id(id);
  return request;
}

TEST_F(Arguments, OfCallsOnOneContainer) {
  const std::string missing = "container id is missing";
  const std::string unknown = "container \"nowhere\": not found";
  Expect(StartContainer, {}, "INVALID_ARGUMENT", missing);
  Expect(StartContainer, WithContainer<cri::StartContainerRequest>("nowhere"), "NOT_FOUND", unknown);
  Expect(ContainerStatus, {}, "INVALID_ARGUMENT", missing);
  Expect(ContainerStatus, WithContainer<cri::ContainerStatusRequest>("nowhere"), "NOT_FOUND", unknown);
  Expect(ReopenContainerLog, {}, "INVALID_ARGUMENT", missing);
  Expect(ReopenContainerLog, WithContainer<cri::ReopenContainerLogRequest>("nowhere"), "NOT_FOUND", unknown);
}

TEST_F(Arguments, OfExecSync) {
  auto request = WithContainer<cri::ExecSyncRequest>("nowhere");
  Expect(ExecSync, request, "INVALID_ARGUMENT", "cmd is empty");
  request.add_cmd("/bin/true");
  Expect(ExecSync, request, "NOT_FOUND", "container \"nowhere\": not found");
  request.set_timeout(-1);
  Expect(ExecSync, request, "INVALID_ARGUMENT", "timeout is negative");
}

// "must not return an error if the container has already been stopped" and removed (CRI API).
TEST_F(Arguments, StopAndRemoveOfWhatIsNotThereSucceed) {
  Expect(StopContainer, WithContainer<cri::StopContainerRequest>("nowhere"), "OK");
  Expect(RemoveContainer, WithContainer<cri::RemoveContainerRequest>("nowhere"), "OK");
  cri::StopPodSandboxRequest stop;
  stop.set_pod_sandbox_id("nowhere");
  Expect(StopPodSandbox, stop, "OK");
  cri::RemovePodSandboxRequest remove;
  remove.set_pod_sandbox_id("nowhere");
  Expect(RemovePodSandbox, remove, "OK");
}

TEST_F(Arguments, StopAndRemoveWantAnId) {
  Expect(StopContainer, {}, "INVALID_ARGUMENT", "container_id is missing");
  Expect(RemoveContainer, {}, "INVALID_ARGUMENT", "container_id is missing");
  Expect(StopPodSandbox, {}, "INVALID_ARGUMENT", "pod_sandbox_id is missing");
  Expect(RemovePodSandbox, {}, "INVALID_ARGUMENT", "pod_sandbox_id is missing");
  Expect(PodSandboxStatus, {}, "INVALID_ARGUMENT", "sandbox id is missing");
}

TEST_F(Arguments, OfImageCalls) {
  Expect(ImageStatus, {}, "INVALID_ARGUMENT", "image is missing");
  Expect(RemoveImage, {}, "INVALID_ARGUMENT", "image is missing");
  Expect(PullImage, {}, "INVALID_ARGUMENT", "image is missing");
  cri::PullImageRequest pull;
  pull.mutable_image()->set_image("Not A Reference");
  EXPECT_EQ(CodeOf(PullImage(services(), pull, Bounded())), "INVALID_ARGUMENT");
}

TEST_F(Arguments, OfUpdateRuntimeConfig) {
  cri::UpdateRuntimeConfigRequest request;
  Expect(UpdateRuntimeConfig, request, "OK");
  request.mutable_runtime_config()->mutable_network_config()->set_pod_cidr("10.0.0.0/24");
  Expect(UpdateRuntimeConfig, request, "OK");
  request.mutable_runtime_config()->mutable_network_config()->set_pod_cidr("10.0.0.0/99");
  EXPECT_EQ(CodeOf(UpdateRuntimeConfig(services(), request, Bounded())), "INVALID_ARGUMENT");
}

}  // namespace
}  // namespace berth::server
