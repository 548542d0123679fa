// The node that each test gets: a daemon of its own with empty roots, and the check that nothing is left at the end.
#pragma once

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/harness/cri.h"
#include "tests/e2e/harness/daemon.h"
#include "tests/e2e/harness/isolation.h"
#include "tests/e2e/harness/leaks.h"
#include "tests/e2e/harness/registry.h"

#define EXPECT_CALL_OK(reply) EXPECT_TRUE(::berth::e2e::IsOk(reply))
#define ASSERT_CALL_OK(reply) ASSERT_TRUE(::berth::e2e::IsOk(reply))
#define ASSERT_STATUS_OK(expr)                                        \
  do {                                                                \
    auto berth_e2e_status = (expr);                                   \
    ASSERT_TRUE(berth_e2e_status) << berth_e2e_status.error().Text(); \
  } while (false)

namespace berth::e2e {

template <typename T>
testing::AssertionResult IsOk(const Reply<T>& reply) {
  if (reply.ok()) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "code " << reply.code() << ": " << reply.message();
}

// Every field equal; serialised bytes differ with the order of a map's entries.
MATCHER_P(SameMessage, expected, "equals " + expected.ShortDebugString()) {
  google::protobuf::util::MessageDifferencer differencer;
  std::string differences;
  differencer.ReportDifferencesToString(&differences);
  const bool same = differencer.Compare(expected, arg);
  *result_listener << differences;
  return same;
}

// A container that a test made, and the pod it is in.
struct Made {
  std::string pod;
  std::string container;
  v1::PodSandboxConfig pod_config;
  v1::ContainerConfig config;
  base::Path log() const { return base::Path(pod_config.log_directory()) / config.log_path(); }
};

class OnNode : public testing::Test {
 public:
  // Set by main: how the machine was laid out, the shared registry, and why nothing can run if so.
  static Isolation isolation;
  static Registry* registry;
  static std::string skip_reason;
  static base::Path work_folder;  // of this program's run

 protected:
  void SetUp() override;
  // Removes every pod that is left, then compares mounts, namespaces, cgroups, processes, addresses, links, firewall
  // chains and files with what there was before the test.
  void TearDown() override;

  // Called by SetUp before the daemon starts.
  virtual Daemon::Options DaemonOptions();
  virtual void Prepare() {}
  virtual std::string Handler() const { return {}; }

  Cri& cri() { return *cri_; }
  Daemon& daemon() { return *daemon_; }
  base::Path folder() const { return folder_; }
  static std::string Image(const std::string& name = "busybox:1") { return registry->Name(name); }

  // Kills or stops the daemon and starts it again; the client connects anew.
  void Restart(bool kill = true);
  void StartAgain();
  // A client anew: one that has used an earlier daemon's socket can still fail once.
  void Connect();
  // Nothing of images counts as left behind in tests that pull.
  void ExpectImagesToChange();
  // The times of pulls are in the run root: a reboot takes them.
  void ExpectTimesOfPullsToGo();
  // The pods are removed and what is left compared at once, in the middle of a test.
  void ExpectNothingLeft();

  // Requests like a kubelet's. Each call of Pod gives another uid; the pod's cgroup is made as the kubelet makes it.
  v1::PodSandboxConfig Pod(const std::string& name = "pod");
  v1::ContainerConfig Container(const std::vector<std::string>& command, const std::string& name = "main");
  static std::vector<std::string> Sh(const std::string& script) { return {"sh", "-c", script}; }

  // RunPod with this fixture's handler; "" and a failure of the test when it fails.
  std::string RunPod(const v1::PodSandboxConfig& config);
  // Pod, CreateContainer and StartContainer in one go.
  Made RunContainer(const std::vector<std::string>& command,
                    const std::function<void(v1::PodSandboxConfig&, v1::ContainerConfig&)>& change = {});
  Made CreateContainer(const std::vector<std::string>& command,
                       const std::function<void(v1::PodSandboxConfig&, v1::ContainerConfig&)>& change = {});
  void RemoveEverything();

  // Waits until the container has exited (limit: 120 s); its status then.
  v1::ContainerStatus WaitExited(const std::string& container,
                                 std::chrono::milliseconds limit = std::chrono::seconds(120));
  // Waits until `done` is true; false when the limit passed. For what has no event to wait for: log lines of a
  // container.
  static bool Eventually(const std::function<bool()>& done, std::chrono::milliseconds limit = std::chrono::seconds(90));

  void PullBusybox();

 private:
  InventoryScope Scope() const;
  std::vector<base::Path> ImageFolders() const;
  void RemovePodCgroups();

  base::Path folder_;
  base::Path run_folder_;
  std::unique_ptr<Daemon> daemon_;
  std::unique_ptr<Cri> cri_;
  Inventory outside_;  // before the daemon
  Inventory before_;   // with the daemon ready
  bool images_change_ = false;
  bool set_up_ = false;
  int pods_ = 0;
  std::vector<std::string> pod_cgroups_;
};

// The same on each OCI runtime that is installed.
class OnRuntime : public OnNode, public testing::WithParamInterface<std::string> {
 protected:
  std::string Handler() const override { return GetParam(); }
};
std::vector<std::string> InstalledRuntimes();

inline std::string RuntimeName(const testing::TestParamInfo<std::string>& runtime) {
  return runtime.param;
}

#define ON_EVERY_RUNTIME(Suite) \
  INSTANTIATE_TEST_SUITE_P(Runtimes, Suite, testing::ValuesIn(InstalledRuntimes()), RuntimeName)

// One record of a container's log.
struct LogRecord {
  std::string time;
  std::string stream;
  std::string tag;
  std::string content;
};
// Every record of a log file; a line that is none becomes one with an empty tag.
std::vector<LogRecord> ReadLog(const base::Path& path);
// What was written to `stream` ("stdout", "stderr"), put together again.
std::string LogText(const base::Path& path, const std::string& stream = "stdout");

}  // namespace berth::e2e
