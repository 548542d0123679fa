// Paths that hang: a mount whose server does not answer must hurt nobody but who uses it.
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <thread>

#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using base::Cat;
using base::Path;
using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::IsEmpty;

class Stuck : public OnNode {
 protected:
  Daemon::Options DaemonOptions() override {
    auto options = OnNode::DaemonOptions();
    options.settings["helpers.path_timeout"] = "1s";
    return options;
  }
  void SetUp() override {
    if (skip_reason.empty() && !base::Exists("/dev/fuse")) GTEST_SKIP() << "the kernel has no FUSE";
    OnNode::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    ASSERT_STATUS_OK(base::MakeDirs(dead()));
    ASSERT_NO_FATAL_FAILURE(MountDead());
  }
  void TearDown() override {
    ReleaseDead();
    OnNode::TearDown();
  }

  Path dead() const { return folder() / "dead"; }
  // A FUSE file system whose server never reads a request: every call on it waits for ever.
  void MountDead() {
    server_ = base::Open("/dev/fuse", O_RDWR).value_or(base::UniqueFd());
    ASSERT_TRUE(server_);
    std::string options = Cat("fd=", server_.get(), ",rootmode=40000,user_id=0,group_id=0");
    ASSERT_EQ(::mount("dead", dead().c_str(), "fuse.dead", 0, options.c_str()), 0) << strerror(errno);
  }
  // Ends every waiting call with an error.
  void ReleaseDead() {
    server_.Reset();
    ::umount2(dead().c_str(), MNT_DETACH);
  }
  v1::ContainerConfig WithDeadMount(const std::string& name = "dead") {
    auto config = Container({"sleep", "1000"}, name);
    auto* mount = config.add_mounts();
    mount->set_host_path((dead() / "volume").string());
    mount->set_container_path("/volume");
    return config;
  }

  base::UniqueFd server_;
};

TEST_F(Stuck, OthersAreUnaffectedAndTheRetryWorksOnceTheMountIsGone) {
  auto pod_config = Pod("victim");
  std::string pod = RunPod(pod_config);
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&, i] {
      EXPECT_FALSE(cri().Create(pod, WithDeadMount(Cat("dead-", i)), pod_config, milliseconds(20000)).ok());
    });
  }
  Made other = RunContainer(Sh("exit 3"));
  EXPECT_EQ(WaitExited(other.container).exit_code(), 3);
  EXPECT_CALL_OK(cri().RemovePod(other.pod));
  for (std::thread& caller : callers) caller.join();
  v1::ContainerFilter of_victim;
  of_victim.set_pod_sandbox_id(pod);
  EXPECT_THAT(cri().Containers(of_victim)->containers(), IsEmpty());
  ReleaseDead();
  ASSERT_STATUS_OK(base::MakeDirs(dead() / "volume"));
  auto created = cri().Create(pod, WithDeadMount("dead-0"), pod_config);
  ASSERT_CALL_OK(created);
  EXPECT_CALL_OK(cri().Start(created->container_id()));
}

TEST_F(Stuck, ErrorNamesThePath) {
  auto pod_config = Pod();
  std::string pod = RunPod(pod_config);
  auto created = cri().Create(pod, WithDeadMount(), pod_config, milliseconds(20000));
  EXPECT_FALSE(created.ok());
  EXPECT_THAT(created.message(), HasSubstr(dead().string()));
}

TEST_F(Stuck, ListsAndStatusAnswerMeanwhile) {
  Made running = RunContainer({"sleep", "1000"});
  auto pod_config = Pod("victim");
  std::string pod = RunPod(pod_config);
  std::atomic<bool> stuck = true;
  std::jthread caller([&] {
    (void)cri().Create(pod, WithDeadMount(), pod_config, milliseconds(20000));
    stuck = false;
  });
  int answers = 0;
  while (stuck && answers < 1000) {
    ASSERT_CALL_OK(cri().Containers({}, milliseconds(3000)));
    ASSERT_CALL_OK(cri().Pods());
    ASSERT_CALL_OK(cri().Status(running.container));
    ++answers;
  }
  caller.join();
  EXPECT_GT(answers, 10);
}

TEST_F(Stuck, PodOfAStuckContainerCanBeRemoved) {
  auto pod_config = Pod("victim");
  std::string pod = RunPod(pod_config);
  std::jthread caller([&] { (void)cri().Create(pod, WithDeadMount(), pod_config, milliseconds(20000)); });
  EXPECT_CALL_OK(cri().StopPod(pod));
  EXPECT_CALL_OK(cri().RemovePod(pod));
  caller.join();
  ReleaseDead();
}

TEST_F(Stuck, LogFolderThatHangsFailsThePodAlone) {
  auto config = Pod("victim");
  config.set_log_directory((dead() / "logs").string());
  auto run = cri().RunPod(config, {}, milliseconds(20000));
  EXPECT_FALSE(run.ok());
  EXPECT_THAT(run.message(), HasSubstr("log_directory"));
  EXPECT_THAT(cri().Pods()->items(), IsEmpty());
}

class StuckRuntime : public OnNode {
 protected:
  Daemon::Options DaemonOptions() override {
    auto options = OnNode::DaemonOptions();
    options.settings["runtimes.silent"] = Cat("{path: ", (folder() / "runtime-silent").string(), "}");
    return options;
  }
  void Prepare() override { ASSERT_STATUS_OK(daemon().WriteRuntime("silent", "exec sleep 1000")); }
};

TEST_F(StuckRuntime, StatusAnswersAndOtherHandlersWork) {
  for (int i = 0; i < 20; ++i) {
    ASSERT_CALL_OK(cri().Call(&v1::RuntimeService::Stub::Status, v1::StatusRequest(), milliseconds(10000)));
  }
  Made made = RunContainer(Sh("exit 3"));
  EXPECT_EQ(WaitExited(made.container).exit_code(), 3);
}

}  // namespace
}  // namespace berth::e2e
