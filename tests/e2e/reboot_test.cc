// A reboot, played: every process ends, kernel objects and the run root vanish, and the boot id is another.
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/child.h"
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using base::Path;
using testing::IsEmpty;
using testing::SizeIs;

constexpr char kBootId[] = "/proc/sys/kernel/random/boot_id";

class Reboot : public OnRuntime {
 protected:
  void TearDown() override {
    if (faked_) ::umount2(kBootId, MNT_DETACH);
    faked_ = false;
    OnRuntime::TearDown();
  }

  void PlayReboot() {
    ASSERT_STATUS_OK(daemon().Kill());
    // The last two are what a container is between its creation and its start.
    for (const char* name : {"berth-monitor", "berth-pause", "sleep", "sh", "crun", "runc:[2:INIT]"}) {
      for (int pid : ProcessesNamed(name)) ::kill(pid, SIGKILL);
      ASSERT_TRUE(Eventually([&] { return ProcessesNamed(name).empty(); })) << name;
    }
    const auto namespaces = base::ListFolder("/run/netns");
    ASSERT_STATUS_OK(namespaces);
    for (const std::string& name : *namespaces) {
      Path pinned = Path("/run/netns") / name;
      ::umount2(pinned.c_str(), MNT_DETACH);
      std::filesystem::remove(pinned);
    }
    ExpectTimesOfPullsToGo();
    UnmountBelow(daemon().options().run_root);
    UnmountBelow(daemon().options().state_root);
    std::filesystem::remove_all(daemon().options().run_root);
    // What the kernel forgets: cgroups of containers, rules of the firewall.
    RemoveCgroups();
    for (const char* what : {"-F", "-X"}) {
      auto run = base::Run({.spawn = {.program = "/usr/sbin/iptables",
                                      .arguments = {"iptables", "-t", "nat", what},
                                      .environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}}},
                           base::Context().WithTimeout(std::chrono::seconds(20)));
      ASSERT_STATUS_OK(run);
      ASSERT_EQ(run->exit.code, 0) << run->errors;
    }
    ASSERT_STATUS_OK(base::WriteFile(folder() / "boot_id", "11111111-2222-4333-8444-555555555555\n", 0444));
    ASSERT_EQ(::mount((folder() / "boot_id").c_str(), kBootId, nullptr, MS_BIND, nullptr), 0);
    faked_ = true;
    StartAgain();
  }

 private:
  static void UnmountBelow(const Path& folder) {
    for (int round = 0; round < 8; ++round) {
      bool found = false;
      const Inventory now = TakeInventory({});
      for (const std::string& at : now.at("mount")) {
        if (!at.starts_with(folder.string() + "/")) continue;
        found = true;
        ::umount2(at.c_str(), MNT_DETACH);
      }
      if (!found) return;
    }
  }
  static void RemoveCgroups() {
    auto folders = TakeInventory({}).at("cgroup");
    for (auto at = folders.rbegin(); at != folders.rend(); ++at) {
      if (at->find("kubepods") != std::string::npos || at->find("berth-") != std::string::npos) ::rmdir(at->c_str());
    }
  }
  bool faked_ = false;
};
ON_EVERY_RUNTIME(Reboot);

TEST_P(Reboot, PodsAreNotReadyContainersExitedAndAllOfItCanBeRemoved) {
  Made running = RunContainer({"sleep", "1000"});
  Made created = CreateContainer({"sleep", "1000"});
  Made exited = RunContainer(Sh("exit 5"));
  WaitExited(exited.container);
  PlayReboot();
  for (const Made* made : {&running, &created, &exited}) {
    EXPECT_EQ(cri().PodStatus(made->pod)->status().state(), v1::SANDBOX_NOTREADY);
    auto status = cri().Status(made->container);
    ASSERT_CALL_OK(status);
    EXPECT_EQ(status->status().state(), v1::CONTAINER_EXITED);
    EXPECT_NE(status->status().finished_at(), 0);
  }
  EXPECT_EQ(cri().Status(running.container)->status().exit_code(), 255);
  EXPECT_EQ(cri().Status(exited.container)->status().exit_code(), 5);
  EXPECT_FALSE(cri().Start(created.container).ok());
  EXPECT_FALSE(cri().Exec(running.container, {"true"}).ok());
  for (const Made* made : {&running, &created, &exited}) {
    EXPECT_CALL_OK(cri().StopPod(made->pod));
    EXPECT_CALL_OK(cri().RemovePod(made->pod));
  }
}

TEST_P(Reboot, TheNextAttemptOfAPodRuns) {
  Made made = RunContainer({"sleep", "1000"});
  PlayReboot();
  made.pod_config.mutable_metadata()->set_attempt(1);
  std::string pod = RunPod(made.pod_config);
  auto container = cri().Create(pod, made.config, made.pod_config);
  ASSERT_CALL_OK(container);
  EXPECT_CALL_OK(cri().Start(container->container_id()));
  EXPECT_EQ(cri().PodStatus(pod)->status().state(), v1::SANDBOX_READY);
}

TEST_P(Reboot, ImagesAreStillThere) {
  PlayReboot();
  EXPECT_TRUE(cri().ImageStatus(Image())->has_image());
  Made made = RunContainer(Sh("exit 0"));
  EXPECT_EQ(WaitExited(made.container).exit_code(), 0);
}

}  // namespace
}  // namespace berth::e2e
