// Requests that cannot be carried out: the code that clients look at, words that help, and nothing left behind.
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using grpc::StatusCode;
using Runtime = v1::RuntimeService::Stub;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr char kUnknown[] = "00000000000000000000000000000000000000000000000000000000000000ff";

class BadInput : public OnNode {
 protected:
  template <typename T>
  void Expect(const Reply<T>& reply, StatusCode code, const std::string& text = {}) {
    EXPECT_EQ(reply.code(), code) << reply.message();
    EXPECT_THAT(reply.message(), HasSubstr(text));
    EXPECT_THAT(reply.message(), Not(IsEmpty()));
  }
};

TEST_F(BadInput, UnknownIdsAreNotFound) {
  Expect(cri().PodStatus(kUnknown), StatusCode::NOT_FOUND, kUnknown);
  Expect(cri().Status(kUnknown), StatusCode::NOT_FOUND, kUnknown);
  Expect(cri().Start(kUnknown), StatusCode::NOT_FOUND, kUnknown);
  Expect(cri().Exec(kUnknown, {"true"}), StatusCode::NOT_FOUND, kUnknown);
  Expect(cri().ReopenLog(kUnknown), StatusCode::NOT_FOUND, kUnknown);
  Expect(cri().Create(kUnknown, Container({"true"}), Pod()), StatusCode::NOT_FOUND, kUnknown);
}

TEST_F(BadInput, StopAndRemoveOfWhatIsNotThereSucceed) {
  EXPECT_CALL_OK(cri().StopPod(kUnknown));
  EXPECT_CALL_OK(cri().RemovePod(kUnknown));
  EXPECT_CALL_OK(cri().Stop(kUnknown, 1));
  EXPECT_CALL_OK(cri().Remove(kUnknown));
  EXPECT_CALL_OK(cri().RemoveImage(Image("none:1")));
  EXPECT_FALSE(cri().ImageStatus(Image("none:1"))->has_image());
}

TEST_F(BadInput, EmptyIdsAreInvalid) {
  Expect(cri().PodStatus(""), StatusCode::INVALID_ARGUMENT);
  Expect(cri().StopPod(""), StatusCode::INVALID_ARGUMENT);
  Expect(cri().RemovePod(""), StatusCode::INVALID_ARGUMENT);
  Expect(cri().Status(""), StatusCode::INVALID_ARGUMENT);
  Expect(cri().Start(""), StatusCode::INVALID_ARGUMENT);
  Expect(cri().Stop("", 1), StatusCode::INVALID_ARGUMENT);
  Expect(cri().Remove(""), StatusCode::INVALID_ARGUMENT);
  Expect(cri().Exec("", {"true"}), StatusCode::INVALID_ARGUMENT);
  Expect(cri().Pull(""), StatusCode::INVALID_ARGUMENT);
}

TEST_F(BadInput, PodWithoutItsMetadataIsInvalid) {
  Expect(cri().Call(&Runtime::RunPodSandbox, v1::RunPodSandboxRequest()), StatusCode::INVALID_ARGUMENT);
  auto without_metadata = Pod();
  without_metadata.clear_metadata();
  Expect(cri().RunPod(without_metadata), StatusCode::INVALID_ARGUMENT, "metadata");
  auto without_name = Pod();
  without_name.mutable_metadata()->clear_name();
  Expect(cri().RunPod(without_name), StatusCode::INVALID_ARGUMENT, "name");
  auto without_namespace = Pod();
  without_namespace.mutable_metadata()->clear_namespace_();
  Expect(cri().RunPod(without_namespace), StatusCode::INVALID_ARGUMENT, "namespace");
  auto without_uid = Pod();
  without_uid.mutable_metadata()->clear_uid();
  Expect(cri().RunPod(without_uid), StatusCode::INVALID_ARGUMENT, "uid");
  EXPECT_THAT(cri().Pods()->items(), IsEmpty());
}

TEST_F(BadInput, UnknownRuntimeHandlerIsInvalidAndNamed) {
  Expect(cri().RunPod(Pod(), "no-such-handler"), StatusCode::INVALID_ARGUMENT, "no-such-handler");
}

TEST_F(BadInput, ContradictoryNamespacesAreInvalid) {
  auto target = Pod();
  target.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(v1::TARGET);
  Expect(cri().RunPod(target), StatusCode::INVALID_ARGUMENT);
  auto mappings = Pod();
  auto* userns =
      mappings.mutable_linux()->mutable_security_context()->mutable_namespace_options()->mutable_userns_options();
  userns->set_mode(v1::NODE);
  userns->add_uids()->set_length(1);
  Expect(cri().RunPod(mappings), StatusCode::INVALID_ARGUMENT);
}

TEST_F(BadInput, ContainerWithoutWhatItNeedsIsRefused) {
  auto pod_config = Pod();
  std::string pod = RunPod(pod_config);
  auto no_metadata = Container({"true"});
  no_metadata.clear_metadata();
  Expect(cri().Create(pod, no_metadata, pod_config), StatusCode::INVALID_ARGUMENT, "metadata");
  auto no_image = Container({"true"});
  no_image.clear_image();
  Expect(cri().Create(pod, no_image, pod_config), StatusCode::INVALID_ARGUMENT, "image");
  auto missing_image = Container({"true"});
  missing_image.mutable_image()->set_image(Image("never-pulled:1"));
  Expect(cri().Create(pod, missing_image, pod_config), StatusCode::NOT_FOUND, "never-pulled:1");
  auto escaping_log = Container({"true"});
  escaping_log.set_log_path("../../escaped.log");
  Expect(cri().Create(pod, escaping_log, pod_config), StatusCode::INVALID_ARGUMENT, "log");
  v1::CreateContainerRequest no_config;
  no_config.set_pod_sandbox_id(pod);
  Expect(cri().Call(&Runtime::CreateContainer, no_config), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(cri().Containers()->containers(), IsEmpty());
}

TEST_F(BadInput, WhatWouldBePassedOverInSilenceIsRefusedByName) {
  auto port = Pod();
  port.add_port_mappings()->set_host_ip("localhost");
  Expect(cri().RunPod(port), StatusCode::INVALID_ARGUMENT, "host_ip");
  auto log = Pod();
  log.set_log_directory("/etc/passwd");
  Expect(cri().RunPod(log), StatusCode::INVALID_ARGUMENT, "log_directory");
  auto sysctl = Pod();
  (*sysctl.mutable_linux()->mutable_sysctls())["net.ipv4.no_such"] = "1";
  Expect(cri().RunPod(sysctl), StatusCode::INVALID_ARGUMENT, "net/ipv4/no_such");
  auto pod_config = Pod();
  std::string pod = RunPod(pod_config);
  auto folder = Container({"true"});
  folder.set_working_dir(std::string("/a\0b", 4));
  Expect(cri().Create(pod, folder, pod_config), StatusCode::INVALID_ARGUMENT, "working_dir");
  folder.set_working_dir("/bin/busybox/x");
  Expect(cri().Create(pod, folder, pod_config), StatusCode::INVALID_ARGUMENT, "working_dir");
  auto masked = Container({"true"});
  masked.mutable_linux()->mutable_security_context()->add_masked_paths("proc/kcore");
  Expect(cri().Create(pod, masked, pod_config), StatusCode::INVALID_ARGUMENT, "masked_paths");
  EXPECT_THAT(cri().Containers()->containers(), IsEmpty());
}

TEST_F(BadInput, MissingHostPathIsAnErrorOrMade) {
  auto pod_config = Pod();
  std::string pod = RunPod(pod_config);
  auto config = Container({"true"});
  auto* mount = config.add_mounts();
  mount->set_container_path("/x");
  mount->set_host_path("relative/path");
  EXPECT_FALSE(cri().Create(pod, config, pod_config).ok());
}

TEST_F(BadInput, UserThatTheImageDoesNotKnowIsNamed) {
  auto pod_config = Pod();
  std::string pod = RunPod(pod_config);
  auto config = Container({"true"});
  config.mutable_linux()->mutable_security_context()->clear_run_as_user();
  config.mutable_linux()->mutable_security_context()->set_run_as_username("stranger");
  auto created = cri().Create(pod, config, pod_config);
  EXPECT_FALSE(created.ok());
  EXPECT_THAT(created.message(), HasSubstr("stranger"));
}

TEST_F(BadInput, StoppedPodTakesNoContainers) {
  auto pod_config = Pod();
  std::string pod = RunPod(pod_config);
  ASSERT_CALL_OK(cri().StopPod(pod));
  Expect(cri().Create(pod, Container({"true"}), pod_config), StatusCode::FAILED_PRECONDITION);
}

TEST_F(BadInput, ContainerOfAStoppedPodDoesNotStart) {
  Made made = CreateContainer({"true"});
  ASSERT_CALL_OK(cri().StopPod(made.pod));
  EXPECT_FALSE(cri().Start(made.container).ok());
}

TEST_F(BadInput, ShortUniqueIdsWork) {
  Made made = RunContainer({"sleep", "1000"});
  std::string pod = made.pod.substr(0, 12);
  std::string container = made.container.substr(0, 12);
  EXPECT_EQ(cri().PodStatus(pod)->status().id(), made.pod);
  EXPECT_EQ(cri().Status(container)->status().id(), made.container);
  EXPECT_CALL_OK(cri().Exec(container, {"true"}));
  EXPECT_CALL_OK(cri().Stop(container, 0));
  EXPECT_CALL_OK(cri().Remove(container));
  EXPECT_CALL_OK(cri().StopPod(pod));
  EXPECT_CALL_OK(cri().RemovePod(pod));
}

TEST_F(BadInput, ExecWithoutACommandIsInvalid) {
  Made made = RunContainer({"sleep", "1000"});
  Expect(cri().Exec(made.container, {}), StatusCode::INVALID_ARGUMENT);
  v1::ExecSyncRequest negative;
  negative.set_container_id(made.container);
  negative.add_cmd("true");
  negative.set_timeout(-1);
  Expect(cri().Call(&Runtime::ExecSync, negative), StatusCode::INVALID_ARGUMENT);
}

TEST_F(BadInput, MalformedReferencesAreInvalid) {
  for (const char* name :
       {"docker.io/UPPER/case", "a//b", "x@sha256:1234", ":tag", "127.0.0.1:5000/e2e/busybox:bad tag"}) {
    auto pulled = cri().Pull(name);
    EXPECT_EQ(pulled.code(), StatusCode::INVALID_ARGUMENT) << name << ": " << pulled.message();
  }
}

TEST_F(BadInput, UnservedMethodsSayTheirName) {
  auto answer = cri().Call(&Runtime::CheckpointPod, v1::CheckpointPodRequest());
  Expect(answer, StatusCode::UNIMPLEMENTED, "CheckpointPod");
}

TEST_F(BadInput, CheckpointIsJudgedAndThenRefusedWithTheReason) {
  const Made made = RunContainer(Sh("sleep 1000"));
  v1::CheckpointContainerRequest request;
  Expect(cri().Call(&Runtime::CheckpointContainer, request), StatusCode::INVALID_ARGUMENT, "container id is missing");
  request.set_container_id("0123456789abcdef");
  Expect(cri().Call(&Runtime::CheckpointContainer, request), StatusCode::NOT_FOUND, "0123456789abcdef");
  request.set_container_id(made.container);
  request.set_location("relative.tar");
  Expect(cri().Call(&Runtime::CheckpointContainer, request), StatusCode::INVALID_ARGUMENT, "location");
  request.set_location((folder() / "archive.tar").string());
  Expect(cri().Call(&Runtime::CheckpointContainer, request), StatusCode::UNIMPLEMENTED, "CheckpointContainer");
  EXPECT_FALSE(base::Exists(folder() / "archive.tar"));
}

}  // namespace
}  // namespace berth::e2e
