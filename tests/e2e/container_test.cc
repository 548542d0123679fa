// Containers: from created to removed, how they end, and what is told about it.
#include <thread>

#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using base::Path;
using std::chrono::milliseconds;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Container : public OnRuntime {
 protected:
  bool LogHas(const Made& made, const std::string& text) {
    return Eventually([&] { return LogText(made.log()).find(text) != std::string::npos; });
  }
};
ON_EVERY_RUNTIME(Container);

TEST_P(Container, GoesThroughItsStates) {
  Made made = CreateContainer(Sh("trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done"));
  auto status = cri().Status(made.container);
  ASSERT_CALL_OK(status);
  EXPECT_EQ(status->status().state(), v1::CONTAINER_CREATED);
  EXPECT_GT(status->status().created_at(), 0);
  EXPECT_EQ(status->status().started_at(), 0);
  ASSERT_CALL_OK(cri().Start(made.container));
  ASSERT_TRUE(LogHas(made, "ready"));
  status = cri().Status(made.container);
  EXPECT_EQ(status->status().state(), v1::CONTAINER_RUNNING);
  EXPECT_GE(status->status().started_at(), status->status().created_at());
  EXPECT_EQ(status->status().finished_at(), 0);
  ASSERT_CALL_OK(cri().Stop(made.container, 20));
  status = cri().Status(made.container);
  EXPECT_EQ(status->status().state(), v1::CONTAINER_EXITED);
  EXPECT_EQ(status->status().exit_code(), 0);
  EXPECT_EQ(status->status().reason(), "Completed");
  EXPECT_GE(status->status().finished_at(), status->status().started_at());
  EXPECT_CALL_OK(cri().Stop(made.container, 20));
  ASSERT_CALL_OK(cri().Remove(made.container));
  EXPECT_EQ(cri().Status(made.container).code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_CALL_OK(cri().Remove(made.container));
  EXPECT_THAT(cri().Containers()->containers(), IsEmpty());
}

TEST_P(Container, StatusTellsWhatTheKubeletAsksFor) {
  Made made = RunContainer({"sleep", "1000"}, [&](auto&, v1::ContainerConfig& config) {
    auto* mount = config.add_mounts();
    mount->set_container_path("/dev/termination-log");
    mount->set_host_path((folder() / "termination-log").string());
    ASSERT_STATUS_OK(base::WriteFile(folder() / "termination-log", "", 0666));
  });
  auto reply = cri().Status(made.container);
  ASSERT_CALL_OK(reply);
  const v1::ContainerStatus& status = reply->status();
  std::string image_id = cri().ImageStatus(Image())->image().id();
  EXPECT_EQ(status.id(), made.container);
  EXPECT_EQ(status.metadata().name(), "main");
  EXPECT_EQ(status.image().image(), Image());
  EXPECT_THAT(status.image_ref(), HasSubstr("@sha256:"));
  EXPECT_EQ(status.image_id(), image_id);
  EXPECT_EQ(status.log_path(), made.log().string());
  EXPECT_EQ(status.labels().at("io.kubernetes.container.name"), "main");
  EXPECT_EQ(status.annotations().at("io.kubernetes.container.restartCount"), "0");
  ASSERT_EQ(status.mounts_size(), 1);
  EXPECT_EQ(status.mounts(0).host_path(), (folder() / "termination-log").string());
  EXPECT_EQ(status.mounts(0).container_path(), "/dev/termination-log");
  EXPECT_EQ(status.stop_signal(), v1::SIGNAL_SIGTERM);
  ASSERT_EQ(cri().Containers()->containers_size(), 1);
  const auto item = cri().Containers()->containers(0);
  EXPECT_EQ(item.image_id(), image_id);
  EXPECT_EQ(item.pod_sandbox_id(), made.pod);
  EXPECT_EQ(item.state(), v1::CONTAINER_RUNNING);
  EXPECT_THAT(item.image_ref(), Not(IsEmpty()));
}

TEST_P(Container, ExitCodesArePassedOn) {
  for (int code : {0, 1, 42, 127, 255}) {
    Made made = RunContainer(Sh("exit " + std::to_string(code)));
    auto status = WaitExited(made.container);
    EXPECT_EQ(status.exit_code(), code);
    EXPECT_EQ(status.reason(), code == 0 ? "Completed" : "Error");
  }
}

TEST_P(Container, StopSendsTheSignalAndTheProcessChoosesItsCode) {
  Made made = RunContainer(Sh("trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"));
  ASSERT_TRUE(LogHas(made, "ready"));
  ASSERT_CALL_OK(cri().Stop(made.container, 20));
  EXPECT_EQ(cri().Status(made.container)->status().exit_code(), 7);
}

TEST_P(Container, GraceThatPassesEndsInKill) {
  Made made = RunContainer(Sh("trap '' TERM; echo ready; while :; do sleep 0.05; done"));
  ASSERT_TRUE(LogHas(made, "ready"));
  ASSERT_CALL_OK(cri().Stop(made.container, 1));
  EXPECT_EQ(cri().Status(made.container)->status().exit_code(), 137);
}

TEST_P(Container, StopSignalOfTheImageIsUsed) {
  ASSERT_CALL_OK(cri().Pull(Image("config:1")));
  ExpectImagesToChange();
  Made made =
      RunContainer(Sh("trap 'exit 9' USR1; trap 'exit 8' TERM; echo ready; while :; do sleep 0.05; done"),
                   [&](auto&, v1::ContainerConfig& config) { config.mutable_image()->set_image(Image("config:1")); });
  ASSERT_TRUE(LogHas(made, "ready"));
  ASSERT_CALL_OK(cri().Stop(made.container, 20));
  EXPECT_EQ(cri().Status(made.container)->status().exit_code(), 9);
}

TEST_P(Container, TwoStopsSendOneSignal) {
  Made made = RunContainer(Sh("trap 'echo term' TERM; echo ready; while :; do sleep 0.05; done"));
  ASSERT_TRUE(LogHas(made, "ready"));
  std::jthread other([&] { EXPECT_CALL_OK(cri().Stop(made.container, 2)); });
  EXPECT_CALL_OK(cri().Stop(made.container, 2));
  other.join();
  EXPECT_EQ(cri().Status(made.container)->status().state(), v1::CONTAINER_EXITED);
  EXPECT_EQ(LogText(made.log()), "ready\nterm\n");
}

TEST_P(Container, ALaterStopShortensTheGrace) {
  Made made = RunContainer(Sh("trap 'echo term' TERM; echo ready; while :; do sleep 0.05; done"));
  ASSERT_TRUE(LogHas(made, "ready"));
  std::jthread patient([&] { EXPECT_CALL_OK(cri().Stop(made.container, 600, milliseconds(50000))); });
  ASSERT_TRUE(LogHas(made, "term"));
  EXPECT_CALL_OK(cri().Stop(made.container, 0));
  patient.join();
  EXPECT_EQ(cri().Status(made.container)->status().exit_code(), 137);
}

TEST_P(Container, StopReachesWhatLeftTheSession) {
  Made made = RunContainer(Sh("setsid sleep 4321 & setsid setsid sleep 4321 & echo ready; sleep 4321"));
  ASSERT_TRUE(LogHas(made, "ready"));
  ASSERT_CALL_OK(cri().Stop(made.container, 0));
  EXPECT_TRUE(Eventually([] { return ProcessesNamed("sleep").empty(); }));
}

TEST_P(Container, RemoveOfARunningContainerKillsIt) {
  Made made = RunContainer({"sleep", "1000"});
  ASSERT_CALL_OK(cri().Remove(made.container));
  EXPECT_TRUE(Eventually([] { return ProcessesNamed("sleep").empty(); }));
}

TEST_P(Container, SecondStartIsRefused) {
  Made made = RunContainer({"sleep", "1000"});
  EXPECT_EQ(cri().Start(made.container).code(), grpc::StatusCode::FAILED_PRECONDITION);
}

// Both runtimes look for the program when they create the container, so that the call that makes it tells.
TEST_P(Container, CommandThatDoesNotExistFailsTheCreationWithTheRuntimesWords) {
  auto pod_config = Pod();
  std::string pod = RunPod(pod_config);
  for (const char* command : {"/no/such/program", "no-such-program"}) {
    auto created = cri().Create(pod, OnNode::Container({command}), pod_config);
    EXPECT_EQ(created.code(), grpc::StatusCode::INTERNAL);
    EXPECT_THAT(created.message(), HasSubstr(command));
    EXPECT_THAT(created.message(), HasSubstr(GetParam()));
  }
  EXPECT_THAT(cri().Containers()->containers(), testing::IsEmpty());
}

TEST_P(Container, ImageGivesCommandUserFolderAndEnvironment) {
  ExpectImagesToChange();
  ASSERT_CALL_OK(cri().Pull(Image("config:1")));
  Made made = RunContainer({}, [&](auto&, v1::ContainerConfig& config) {
    config.mutable_image()->set_image(Image("config:1"));
    config.mutable_linux()->mutable_security_context()->clear_run_as_user();
  });
  EXPECT_EQ(WaitExited(made.container).exit_code(), 0);
  EXPECT_EQ(LogText(made.log()), "1000\n/home/user\nyes\n");
}

TEST_P(Container, RequestGivesArgumentsUserFolderAndEnvironment) {
  Made made = RunContainer(
      Sh("id -u; id -g; pwd; echo $KUBERNETES_SERVICE_HOST; echo $0 $1"), [&](auto&, v1::ContainerConfig& config) {
        config.add_args("zero");
        config.add_args("one");
        config.set_working_dir("/made/on/the/way");
        config.mutable_linux()->mutable_security_context()->mutable_run_as_user()->set_value(1234);
        config.mutable_linux()->mutable_security_context()->mutable_run_as_group()->set_value(2345);
      });
  EXPECT_EQ(WaitExited(made.container).exit_code(), 0);
  EXPECT_EQ(LogText(made.log()), "1234\n2345\n/made/on/the/way\n10.97.0.1\nzero one\n");
}

TEST_P(Container, HostPathsAreMountedAsAsked) {
  Path shared = folder() / "shared";
  ASSERT_STATUS_OK(base::MakeDirs(shared));
  ASSERT_STATUS_OK(base::WriteFile(shared / "file", "from the host\n", 0644));
  Made made = RunContainer(Sh("cat /ro/file; echo x > /ro/new || echo read-only; echo back > /rw/new"),
                           [&](auto&, v1::ContainerConfig& config) {
                             auto* read_only = config.add_mounts();
                             read_only->set_host_path(shared.string());
                             read_only->set_container_path("/ro");
                             read_only->set_readonly(true);
                             auto* writable = config.add_mounts();
                             writable->set_host_path(shared.string());
                             writable->set_container_path("/rw");
                           });
  EXPECT_EQ(WaitExited(made.container).exit_code(), 0);
  EXPECT_EQ(LogText(made.log()), "from the host\nread-only\n");
  EXPECT_EQ(base::ReadFile(shared / "new").value_or(""), "back\n");
}

TEST_P(Container, ReadOnlyRootRefusesWritesAndOrdinaryOneKeepsThem) {
  for (bool read_only : {true, false}) {
    Made made = RunContainer(Sh("touch /new && echo written"), [&](auto&, v1::ContainerConfig& config) {
      config.mutable_linux()->mutable_security_context()->set_readonly_rootfs(read_only);
    });
    EXPECT_EQ(WaitExited(made.container).exit_code(), read_only ? 1 : 0);
    EXPECT_EQ(LogText(made.log()), read_only ? "" : "written\n");
  }
}

TEST_P(Container, CapabilitiesAreAsAsked) {
  Made made = RunContainer(Sh("grep CapEff /proc/self/status"), [&](auto&, v1::ContainerConfig& config) {
    config.mutable_linux()->mutable_security_context()->mutable_capabilities()->add_drop_capabilities("ALL");
    config.mutable_linux()->mutable_security_context()->mutable_capabilities()->add_add_capabilities(
        "NET_BIND_SERVICE");
  });
  EXPECT_EQ(WaitExited(made.container).exit_code(), 0);
  EXPECT_EQ(LogText(made.log()), "CapEff:\t0000000000000400\n");
}

TEST_P(Container, OutOfMemoryIsTold) {
  Made made = RunContainer(Sh("head -c 200000000 /dev/zero | tail"), [&](auto&, v1::ContainerConfig& config) {
    config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(32 << 20);
    config.mutable_linux()->mutable_resources()->set_memory_swap_limit_in_bytes(32 << 20);
  });
  auto status = WaitExited(made.container);
  EXPECT_EQ(status.reason(), "OOMKilled");
  EXPECT_NE(status.exit_code(), 0);
}

TEST_P(Container, ANewAttemptOfOneNameIsAnotherContainer) {
  Made made = RunContainer(Sh("exit 1"));
  WaitExited(made.container);
  made.config.mutable_metadata()->set_attempt(1);
  auto second = cri().Create(made.pod, made.config, made.pod_config);
  ASSERT_CALL_OK(second);
  EXPECT_NE(second->container_id(), made.container);
}

TEST_P(Container, TerminalHasOneStreamWithItsOwnLineEnds) {
  Made made = RunContainer(Sh("echo out; echo err >&2; test -t 0 && test -t 1 && echo terminal"),
                           [&](auto&, v1::ContainerConfig& config) {
                             config.set_tty(true);
                             config.set_stdin(true);
                           });
  EXPECT_EQ(WaitExited(made.container).exit_code(), 0);
  EXPECT_EQ(LogText(made.log()), "out\r\nerr\r\nterminal\r\n");
}

TEST_P(Container, ListFiltersByPodStateAndLabel) {
  Made running = RunContainer({"sleep", "1000"});
  Made exited = RunContainer(
      Sh("exit 0"), [](auto&, v1::ContainerConfig& config) { (*config.mutable_labels())["which"] = "exited"; });
  WaitExited(exited.container);
  auto ids = [&](const v1::ContainerFilter& filter) {
    std::vector<std::string> found;
    for (auto listed = cri().Containers(filter); const auto& item : listed->containers()) found.push_back(item.id());
    return found;
  };
  v1::ContainerFilter by_pod, by_state, by_label, both;
  by_pod.set_pod_sandbox_id(running.pod.substr(0, 20));
  by_state.mutable_state()->set_state(v1::CONTAINER_EXITED);
  (*by_label.mutable_label_selector())["which"] = "exited";
  both = by_pod;
  both.mutable_state()->set_state(v1::CONTAINER_EXITED);
  EXPECT_THAT(ids(by_pod), testing::ElementsAre(running.container));
  EXPECT_THAT(ids(by_state), testing::ElementsAre(exited.container));
  EXPECT_THAT(ids(by_label), testing::ElementsAre(exited.container));
  EXPECT_THAT(ids(both), IsEmpty());
}

TEST_P(Container, SupplementalGroupsComeFromImageAndRequest) {
  Made made = RunContainer(Sh("id -G"), [&](auto&, v1::ContainerConfig& config) {
    auto* security = config.mutable_linux()->mutable_security_context();
    security->mutable_run_as_user()->set_value(1000);
    security->add_supplemental_groups(3000);
  });
  EXPECT_EQ(WaitExited(made.container).exit_code(), 0);
  EXPECT_EQ(LogText(made.log()), "1000 2000 3000\n");
}

}  // namespace
}  // namespace berth::e2e
