// What pods and containers go through, call by call, with the fakes failing where they are told to.
#include <poll.h>
#include <signal.h>

#include <nlohmann/json.hpp>

#include "tests/unit/server/node.h"

namespace berth::server {
namespace {

using Names = std::vector<std::string>;

class Lifecycle : public Node {
 protected:
  base::Status Stop(const std::string& container, int64_t timeout, const base::Context& context = Bounded()) {
    cri::StopContainerRequest request;
    request.set_container_id(container);
    request.set_timeout(timeout);
    RETURN_IF_ERROR(StopContainer(services(), request, context));
    return {};
  }
  base::Status Remove(const std::string& container) {
    cri::RemoveContainerRequest request;
    request.set_container_id(container);
    RETURN_IF_ERROR(RemoveContainer(services(), request, Bounded()));
    return {};
  }
  base::Status StopPod(const std::string& pod) {
    cri::StopPodSandboxRequest request;
    request.set_pod_sandbox_id(pod);
    RETURN_IF_ERROR(StopPodSandbox(services(), request, Bounded()));
    return {};
  }
  base::Status RemovePod(const std::string& pod) {
    cri::RemovePodSandboxRequest request;
    request.set_pod_sandbox_id(pod);
    RETURN_IF_ERROR(RemovePodSandbox(services(), request, Bounded()));
    return {};
  }
  // A container that writes the file when it gets SIGTERM, and goes on.
  std::string CreateDeaf(const base::Path& told) {
    const base::Path ready = *temp_ / "ready";
    Run(base::Cat("trap 'echo x > ", told.native(), "' TERM; echo x > ", ready.native(),
                  "; while :; do sleep 0.01; done"));
    std::string id = CreateStarted(RunPod("web"), "app");
    EXPECT_TRUE(Eventually([&] { return base::Exists(ready); }));
    return id;
  }
  cri::PodSandboxStatus PodStatus(const std::string& pod) {
    cri::PodSandboxStatusRequest request;
    request.set_pod_sandbox_id(pod);
    const auto reply = PodSandboxStatus(services(), request, Bounded());
    EXPECT_TRUE(reply) << TextOf(reply);
    return reply ? reply->status() : cri::PodSandboxStatus();
  }
};

TEST_F(Lifecycle, ContainerGoesThroughItsStates) {
  const std::string pod = RunPod("web");
  const std::string id = Create(pod, "app");
  EXPECT_EQ(StatusOf(id).state(), cri::CONTAINER_CREATED);
  EXPECT_EQ(StatusOf(id).started_at(), 0);
  Start(id);
  EXPECT_EQ(StatusOf(id).state(), cri::CONTAINER_RUNNING);
  EXPECT_GT(StatusOf(id).started_at(), StatusOf(id).created_at());
  EXPECT_EQ(StatusOf(id).user().linux().uid(), 7);
  EXPECT_EQ(StatusOf(id).log_path(), (*temp_ / "logs/web/app.log").native());
  ASSERT_OK(Stop(id, 60));
  const cri::ContainerStatus status = StatusOf(id);
  EXPECT_EQ(status.state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(status.exit_code(), 128 + SIGTERM);
  EXPECT_EQ(status.reason(), "Error");
  EXPECT_GT(status.finished_at(), status.started_at());
  ASSERT_OK(Remove(id));
  cri::ContainerStatusRequest request;
  request.set_container_id(id);
  EXPECT_EQ(CodeOf(ContainerStatus(services(), request, Bounded())), "NOT_FOUND");
  EXPECT_EQ(CountRuntime("delete " + id), 1u);
}

TEST_F(Lifecycle, EndOfAShortProcessIsNoticedWithItsCode) {
  Run("exit 3");
  const std::string id = CreateStarted(RunPod("web"), "app");
  ASSERT_TRUE(Exits(id));
  EXPECT_EQ(StatusOf(id).exit_code(), 3);
  EXPECT_EQ(StatusOf(id).reason(), "Error");
}

TEST_F(Lifecycle, SuccessIsCompleted) {
  Run("exit 0");
  const std::string id = CreateStarted(RunPod("web"), "app");
  ASSERT_TRUE(Exits(id));
  EXPECT_EQ(StatusOf(id).exit_code(), 0);
  EXPECT_EQ(StatusOf(id).reason(), "Completed");
}

TEST_F(Lifecycle, SecondStartIsRefused) {
  const std::string id = CreateStarted(RunPod("web"), "app");
  cri::StartContainerRequest request;
  request.set_container_id(id);
  const auto again = StartContainer(services(), request, Bounded());
  EXPECT_EQ(CodeOf(again), "FAILED_PRECONDITION");
  EXPECT_EQ(TextOf(again), "container " + id + " is running, not created");
}

TEST_F(Lifecycle, StartThatFailsLeavesAnExitedContainer) {
  runtime_->Fail("start", base::Error{.message = "runtime fake: start: no such program"});
  const std::string id = Create(RunPod("web"), "app");
  cri::StartContainerRequest request;
  request.set_container_id(id);
  const auto reply = StartContainer(services(), request, Bounded());
  EXPECT_EQ(TextOf(reply), "runtime fake: start: no such program");
  EXPECT_EQ(StatusOf(id).state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(StatusOf(id).exit_code(), 128);
  EXPECT_EQ(StatusOf(id).reason(), "StartError");
  EXPECT_EQ(StatusOf(id).message(), "runtime fake: start: no such program");
}

TEST_F(Lifecycle, CreateThatFailsLeavesNothing) {
  const std::string pod = RunPod("web");
  const auto before = Leftovers();
  runtime_->Fail("create", base::Error{.message = "cannot mount the moon"});
  const auto reply = CreateContainer(services(), ContainerRequest(pod, "app"), Bounded());
  ASSERT_FALSE(reply);
  EXPECT_NE(TextOf(reply).find("cannot mount the moon"), std::string::npos) << TextOf(reply);
  EXPECT_EQ(Leftovers(), before);
  runtime_->Fail("create", std::nullopt);
  EXPECT_NE(Create(pod, "app"), "") << "its name is free";
}

TEST_F(Lifecycle, WhatCannotBeDeletedIsToldAndKeptForLater) {
  const std::string pod = RunPod("web");
  runtime_->Fail("create", base::Error{.message = "no"});
  runtime_->Fail("delete", base::Error{.message = "the runtime is out"});
  const auto reply = CreateContainer(services(), ContainerRequest(pod, "app"), Bounded());
  ASSERT_FALSE(reply);
  EXPECT_NE(TextOf(reply).find("clean-up"), std::string::npos) << TextOf(reply);
  EXPECT_NE(TextOf(reply).find("the runtime is out"), std::string::npos) << TextOf(reply);
  runtime_->Fail("create", std::nullopt);
  runtime_->Fail("delete", std::nullopt);
  EXPECT_TRUE(Eventually([&] {
    RunLeftovers();
    return Leftovers().size() == 2;  // the pod in both roots
  })) << testing::PrintToString(Leftovers());
}

TEST_F(Lifecycle, StopWithoutGraceKillsWhatIgnoresTheSignal) {
  Run("trap '' TERM; while :; do sleep 1; done");
  const std::string id = CreateStarted(RunPod("web"), "app");
  ASSERT_OK(Stop(id, 0));
  EXPECT_EQ(StatusOf(id).exit_code(), 128 + SIGKILL);
}

TEST_F(Lifecycle, NegativeGraceIsNone) {
  Run("trap '' TERM; while :; do sleep 1; done");
  const std::string id = CreateStarted(RunPod("web"), "app");
  ASSERT_OK(Stop(id, -5));
  EXPECT_EQ(StatusOf(id).state(), cri::CONTAINER_EXITED);
}

TEST_F(Lifecycle, SecondStopShortensTheGraceOfTheFirst) {
  const base::Path told = *temp_ / "told";
  const std::string id = CreateDeaf(told);
  base::Status first;
  std::jthread patient([&] { first = Stop(id, 3600); });
  EXPECT_TRUE(Eventually([&] { return base::Exists(told); })) << "the signal comes first";
  EXPECT_OK(Stop(id, 0));
  patient.join();
  EXPECT_OK(first);
  EXPECT_EQ(StatusOf(id).exit_code(), 128 + SIGKILL);
}

TEST_F(Lifecycle, CallerThatLeavesDoesNotEndTheGrace) {
  const base::Path told = *temp_ / "told";
  const std::string id = CreateDeaf(told);
  const base::Context context = base::Context::Make("r1");
  base::Status first;
  std::jthread leaver([&] { first = Stop(id, 3600, context); });
  EXPECT_TRUE(Eventually([&] { return base::Exists(told); }));
  context.Cancel();
  leaver.join();
  EXPECT_EQ(CodeOf(first), "CANCELLED");
  EXPECT_EQ(StatusOf(id).state(), cri::CONTAINER_RUNNING);
  EXPECT_OK(Stop(id, 0));
}

TEST_F(Lifecycle, StopOfExitedAndOfNeverStartedContainersSucceeds) {
  const std::string pod = RunPod("web");
  const std::string created = Create(pod, "created");
  ASSERT_OK(Stop(created, 10));
  EXPECT_EQ(StatusOf(created).state(), cri::CONTAINER_EXITED);
  ASSERT_OK(Stop(created, 10));
}

TEST_F(Lifecycle, LostMonitorIsToldWithinSeconds) {
  const std::string id = CreateStarted(RunPod("web"), "app");
  const auto container = services().containers.Find(id);
  ASSERT_TRUE(container);
  ASSERT_EQ(kill((*container)->monitor.pid, SIGKILL), 0);
  ASSERT_TRUE(Exits(id));
  EXPECT_EQ(StatusOf(id).exit_code(), 255);
  EXPECT_EQ(StatusOf(id).reason(), "MonitorLost");
  EXPECT_TRUE(Eventually([&] {
    return !base::OpenProcess((*container)->process.pid, (*container)->process.start_time);
  })) << "what it watched is killed";
}

TEST_F(Lifecycle, PodWithANetworkHasItsAddressUntilItIsStopped) {
  const std::string pod = RunPod(NetworkPodRequest("web"));
  EXPECT_EQ(PodStatus(pod).network().ip(), "10.0.0.2");
  EXPECT_EQ(PodStatus(pod).state(), cri::SANDBOX_READY);
  ASSERT_OK(StopPod(pod));
  EXPECT_EQ(PodStatus(pod).network().ip(), "");
  EXPECT_EQ(PodStatus(pod).state(), cri::SANDBOX_NOTREADY);
  ASSERT_OK(StopPod(pod));
  EXPECT_EQ(CountPlugin("DEL first"), 1u) << "a second stop costs nothing";
}

TEST_F(Lifecycle, PodWhoseNetworkFailsLeavesNothing) {
  plugins_->Fails("first ADD", "plugin first failed (ADD): no addresses left");
  const auto reply = RunPodSandbox(services(), NetworkPodRequest("web"), Bounded());
  ASSERT_FALSE(reply);
  EXPECT_NE(TextOf(reply).find("no addresses left"), std::string::npos) << TextOf(reply);
  EXPECT_EQ(CountPlugin("DEL first"), 1u);
  EXPECT_EQ(Leftovers(), Names{});
}

TEST_F(Lifecycle, StopThatFailsCanBeRepeated) {
  const std::string pod = RunPod(NetworkPodRequest("web"));
  plugins_->Fails("first DEL", "plugin first failed (DEL): busy");
  const base::Status stopped = StopPod(pod);
  ASSERT_FALSE(stopped);
  EXPECT_NE(TextOf(stopped).find("busy"), std::string::npos) << TextOf(stopped);
  EXPECT_EQ(PodStatus(pod).state(), cri::SANDBOX_NOTREADY);
  plugins_->Answers("first DEL", "");
  EXPECT_OK(StopPod(pod));
}

TEST_F(Lifecycle, StoppedPodTakesNoContainersAndStartsNone) {
  const std::string pod = RunPod("web");
  const std::string created = Create(pod, "created");
  const std::string running = CreateStarted(pod, "running");
  ASSERT_OK(StopPod(pod));
  EXPECT_EQ(StatusOf(created).state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(StatusOf(running).state(), cri::CONTAINER_EXITED);
  const auto late = CreateContainer(services(), ContainerRequest(pod, "late"), Bounded());
  EXPECT_EQ(CodeOf(late), "FAILED_PRECONDITION");
  EXPECT_EQ(TextOf(late), "sandbox " + pod + " is not ready");
  cri::StartContainerRequest start;
  start.set_container_id(created);
  EXPECT_EQ(TextOf(StartContainer(services(), start, Bounded())), "sandbox " + pod + " is not ready");
}

TEST_F(Lifecycle, RemovedPodTakesItsContainersAlong) {
  const std::string pod = RunPod("web");
  const std::string other = Create(RunPod("other"), "app");
  CreateStarted(pod, "a");
  Create(pod, "b");
  ASSERT_OK(RemovePod(pod));
  const auto left = ListContainers(services(), {}, Bounded());
  ASSERT_EQ(left->containers_size(), 1);
  EXPECT_EQ(left->containers(0).id(), other);
  EXPECT_OK(RemovePod(pod));
}

TEST_F(Lifecycle, ExecSyncGivesOutputsAndCode) {
  const std::string id = CreateStarted(RunPod("web"), "app");
  cri::ExecSyncRequest request;
  request.set_container_id(id);
  for (const char* word : {"/bin/sh", "-c", "echo out; echo err >&2; exit 5"}) request.add_cmd(word);
  const auto reply = ExecSync(services(), request, Bounded());
  ASSERT_TRUE(reply) << TextOf(reply);
  EXPECT_EQ(reply->stdout(), "out\n");
  EXPECT_EQ(reply->stderr(), "err\n");
  EXPECT_EQ(reply->exit_code(), 5);
  request.mutable_cmd()->Clear();
  for (const char* word : {"/bin/sleep", "1000"}) request.add_cmd(word);
  request.set_timeout(1);
  EXPECT_EQ(CodeOf(ExecSync(services(), request, Bounded())), "DEADLINE_EXCEEDED");
}

TEST_F(Lifecycle, ExecAndReopenWantARunningContainer) {
  const std::string id = Create(RunPod("web"), "app");
  cri::ExecSyncRequest exec;
  exec.set_container_id(id);
  exec.add_cmd("/bin/true");
  EXPECT_EQ(TextOf(ExecSync(services(), exec, Bounded())), "container " + id + " is created, not running");
  cri::ReopenContainerLogRequest reopen;
  reopen.set_container_id(id);
  EXPECT_EQ(CodeOf(ReopenContainerLog(services(), reopen, Bounded())), "FAILED_PRECONDITION");
  Start(id);
  const base::Path log = StatusOf(id).log_path();
  ASSERT_EQ(rename(log.c_str(), (log.native() + ".1").c_str()), 0);
  EXPECT_OK(ReopenContainerLog(services(), reopen, Bounded()));
  EXPECT_TRUE(base::Exists(log));
}

// A monitor that does not run keeps the end of its process to itself.
TEST_F(Lifecycle, WhatRacesTheEndOfAContainerIsNoFault) {
  const std::string pod = RunPod("web");
  const std::string running = CreateStarted(pod, "running");
  const std::string created = Create(pod, "created");
  for (const std::string& id : {running, created})
    ASSERT_EQ(kill((*services().containers.Find(id))->monitor.pid, SIGSTOP), 0);
  ASSERT_EQ(kill((*services().containers.Find(running))->process.pid, SIGKILL), 0);
  runtime_->Fail("exec", base::Error{.message = "runtime fake: exec: no such process"});
  cri::ExecSyncRequest exec;
  exec.set_container_id(running);
  exec.add_cmd("/bin/true");
  EXPECT_TRUE(Eventually([&] { return CodeOf(ExecSync(services(), exec, Bounded())) == "FAILED_PRECONDITION"; }));
  EXPECT_EQ(TextOf(ExecSync(services(), exec, Bounded())),
            "container " + running + " ended meanwhile: runtime fake: exec: no such process");

  const auto first = base::OpenPidfd((*services().containers.Find(created))->process.pid);
  ASSERT_TRUE(first) << TextOf(first);
  base::Status stopped;
  std::jthread stopper([&] { stopped = Stop(created, 0); });
  ASSERT_TRUE(Bounded().Wait(first->get(), POLLIN, "the end of the process"));
  runtime_->Fail("start", base::Error{.message = "runtime fake: start: no such process"});
  cri::StartContainerRequest start;
  start.set_container_id(created);
  EXPECT_EQ(TextOf(StartContainer(services(), start, Bounded())),
            "container " + created + " is being stopped: runtime fake: start: no such process");
  stopper.join();
  EXPECT_OK(stopped);
  for (const std::string& id : {running, created}) (void)kill((*services().containers.Find(id))->monitor.pid, SIGCONT);
}

TEST_F(Lifecycle, LogIsInTheFolderThatIsSentWithTheContainer) {
  auto request = ContainerRequest(RunPod("web"), "app");
  request.mutable_sandbox_config()->set_log_directory((*temp_ / "logs/elsewhere").native());
  EXPECT_EQ(StatusOf(Create(request)).log_path(), (*temp_ / "logs/elsewhere/app.log").native());
}

TEST_F(Lifecycle, VerboseStatusIsJsonWithTheRequest) {
  const std::string id = CreateStarted(RunPod("web"), "app");
  cri::ContainerStatusRequest request;
  request.set_container_id(id.substr(0, 16));
  request.set_verbose(true);
  const auto reply = ContainerStatus(services(), request, Bounded());
  ASSERT_TRUE(reply) << TextOf(reply);
  const auto info = nlohmann::json::parse(reply->info().at("info"));
  EXPECT_EQ(info.at("config").at("metadata").at("name"), "app");
  EXPECT_EQ(info.at("runtimeSpec").at("process").at("args"), nlohmann::json::array({"/bin/app"}));
  EXPECT_GT(info.at("pid").get<int>(), 1);
}

}  // namespace
}  // namespace berth::server
