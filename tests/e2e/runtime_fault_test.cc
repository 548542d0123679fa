// OCI runtimes that fail or hang, played by a script in front of the real one.
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class RuntimeFault : public OnNode {
 protected:
  Daemon::Options DaemonOptions() override {
    auto options = OnNode::DaemonOptions();
    options.settings["container.create_timeout"] = "4s";
    return options;
  }
  std::string Handler() const override { return "scripted"; }
  // `script` runs for `command` ("create", "start", "delete"); everything else goes to the real runtime.
  void Fault(const std::string& command, const std::string& script) {
    ASSERT_STATUS_OK(daemon().WriteRuntime(
        "scripted", "for word; do case $word in " + command + ") " + script + " ;; esac; done\nexec $REAL \"$@\""));
  }
  void Repair() { ASSERT_STATUS_OK(daemon().WriteRuntime("scripted", "exec $REAL \"$@\"")); }
};

TEST_F(RuntimeFault, FailedCreateGivesTheRuntimesWordsAndLeavesNothing) {
  auto pod_config = Pod();
  std::string pod = RunPod(pod_config);
  Fault("create", "echo 'the bundle smells' >&2; exit 1");
  auto created = cri().Create(pod, Container({"sleep", "1000"}), pod_config);
  if (created.ok()) {
    auto started = cri().Start(created->container_id());
    EXPECT_FALSE(started.ok());
    EXPECT_THAT(started.message(), HasSubstr("the bundle smells"));
  } else {
    EXPECT_THAT(created.message(), HasSubstr("the bundle smells"));
    EXPECT_THAT(cri().Containers()->containers(), IsEmpty());
  }
  Repair();
  EXPECT_CALL_OK(cri().Create(pod, Container({"sleep", "1000"}, "second"), pod_config));
}

TEST_F(RuntimeFault, FailedStartLeavesAnExitedContainerThatSaysWhy) {
  Made made = CreateContainer({"sleep", "1000"});
  Fault("start", "echo 'the engine is flooded' >&2; exit 1");
  auto started = cri().Start(made.container);
  EXPECT_FALSE(started.ok());
  EXPECT_THAT(started.message(), HasSubstr("the engine is flooded"));
  auto status = cri().Status(made.container);
  EXPECT_EQ(status->status().state(), v1::CONTAINER_EXITED);
  EXPECT_EQ(status->status().exit_code(), 128);
  EXPECT_EQ(status->status().reason(), "StartError");
  EXPECT_THAT(status->status().message(), HasSubstr("the engine is flooded"));
  Repair();
}

TEST_F(RuntimeFault, ContainerThatStartedAndEndedInTheDaemonsAbsenceHasBothTimes) {
  Made made = CreateContainer(Sh("exit 7"));
  // The daemon is killed as soon as it has asked for the start, which goes on.
  Fault("start", "kill -9 $PPID; \"$REAL\" \"$@\"; echo done > $0.started; exit");
  EXPECT_FALSE(cri().Start(made.container).ok());
  ASSERT_STATUS_OK(daemon().Kill());
  const base::Path started = daemon().runtime_script("scripted").native() + ".started";
  ASSERT_TRUE(Eventually([&] { return base::Exists(started); }));
  Repair();
  StartAgain();
  const v1::ContainerStatus status = WaitExited(made.container);
  EXPECT_EQ(status.exit_code(), 7);
  EXPECT_GE(status.started_at(), status.created_at());
  EXPECT_GE(status.finished_at(), status.started_at());
}

TEST_F(RuntimeFault, HangingCreateFailsAndTheNextTrySucceeds) {
  auto pod_config = Pod();
  std::string pod = RunPod(pod_config);
  Fault("create", "exec sleep 34567");
  auto config = Container({"sleep", "1000"});
  EXPECT_FALSE(cri().Create(pod, config, pod_config).ok());
  EXPECT_THAT(cri().Containers()->containers(), IsEmpty());
  Repair();
  auto created = cri().Create(pod, config, pod_config);
  ASSERT_CALL_OK(created);
  EXPECT_TRUE(Eventually([] { return ProcessesNamed("sleep").empty(); }));
  EXPECT_CALL_OK(cri().Start(created->container_id()));
}

TEST_F(RuntimeFault, FailedDeleteDoesNotKeepThePod) {
  Made made = RunContainer({"sleep", "1000"});
  Fault("delete", "echo 'cannot let go' >&2; exit 1");
  (void)cri().StopPod(made.pod);
  (void)cri().RemovePod(made.pod);
  Repair();
  EXPECT_CALL_OK(cri().StopPod(made.pod));
  EXPECT_CALL_OK(cri().RemovePod(made.pod));
}

TEST_F(RuntimeFault, FailedExecIsAnErrorWithTheRuntimesWords) {
  Made made = RunContainer({"sleep", "1000"});
  Fault("exec", "echo 'no way in' >&2; exit 255");
  auto ran = cri().Exec(made.container, {"true"});
  if (ran.ok()) {
    EXPECT_NE(ran->exit_code(), 0);
  } else {
    EXPECT_THAT(ran.message(), HasSubstr("no way in"));
  }
  Repair();
  EXPECT_CALL_OK(cri().Exec(made.container, {"true"}));
}

}  // namespace
}  // namespace berth::e2e
