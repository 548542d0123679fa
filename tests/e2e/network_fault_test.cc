// CNI plugins that fail, hang or are missing, and configuration that comes and goes.
#include <sys/mount.h>

#include <atomic>
#include <thread>

#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using base::Cat;
using base::Path;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class NetworkFault : public OnNode {
 protected:
  Daemon::Options DaemonOptions() override {
    auto options = OnNode::DaemonOptions();
    options.settings["network.plugin_timeout"] = "3s";
    return options;
  }
  // Puts a plugin before the bridge that runs `script` for `command`; where that does not end it, all is well.
  void UsePlugin(const std::string& command, const std::string& script) {
    ASSERT_STATUS_OK(
        base::WriteFile(daemon().plugin_folder() / "faulty",
                        Cat("#!/bin/sh\nif [ \"$CNI_COMMAND\" = VERSION ]; then\n"
                            "echo '{\"cniVersion\":\"1.0.0\",\"supportedVersions\":[\"0.4.0\",\"1.0.0\"]}'; exit\nfi\n"
                            "if [ \"$CNI_COMMAND\" = ",
                            command, " ]; then\n", script, "\nfi\necho '{\"cniVersion\":\"1.0.0\"}'\n"),
                        0755));
    ASSERT_STATUS_OK(
        base::WriteFile(daemon().net_folder() / "10-e2e.conflist", daemon().NetworkList(R"({"type":"faulty"})"), 0644));
    ASSERT_TRUE(Eventually([&] {
      v1::StatusRequest verbose;
      verbose.set_verbose(true);
      auto status = cri().Call(&v1::RuntimeService::Stub::Status, verbose);
      return status.ok() && status->info().at("config").find("faulty") != std::string::npos;
    }));
  }
  void RepairPlugin() {
    // What is already attached goes on with the list it was attached with, so the plugin itself has to work.
    ASSERT_STATUS_OK(base::WriteFile(daemon().plugin_folder() / "faulty",
                                     "#!/bin/sh\ncat > /dev/null\necho '{\"cniVersion\":\"1.0.0\"}'\n", 0755));
  }
  bool NetworkReady(std::string* message = nullptr) {
    auto status = cri().Call(&v1::RuntimeService::Stub::Status, v1::StatusRequest());
    for (const auto& condition : status->status().conditions()) {
      if (condition.type() != "NetworkReady") continue;
      if (message) *message = condition.reason() + ": " + condition.message();
      return condition.status();
    }
    return false;
  }
};

TEST_F(NetworkFault, FailedAddGivesThePluginsWordsAndIsUndone) {
  UsePlugin(
      "ADD",
      "echo '{\"cniVersion\":\"1.0.0\",\"code\":11,\"msg\":\"the switch is on fire\",\"details\":\"port 7\"}'; exit 1");
  auto run = cri().RunPod(Pod());
  EXPECT_FALSE(run.ok());
  EXPECT_THAT(run.message(), HasSubstr("the switch is on fire"));
  EXPECT_THAT(cri().Pods()->items(), IsEmpty());
  ExpectNothingLeft();
}

TEST_F(NetworkFault, PluginThatDiesWithoutAResultIsNamed) {
  UsePlugin("ADD", "echo 'out of luck' >&2; kill -9 $$");
  auto run = cri().RunPod(Pod());
  EXPECT_FALSE(run.ok());
  EXPECT_THAT(run.message(), HasSubstr("faulty"));
  ExpectNothingLeft();
}

TEST_F(NetworkFault, HangingAddEndsAtItsTimeLimit) {
  UsePlugin("ADD", "sleep 98765");
  auto run = cri().RunPod(Pod());
  EXPECT_FALSE(run.ok());
  EXPECT_THAT(run.message(), HasSubstr("faulty"));
  EXPECT_TRUE(Eventually([] { return ProcessesNamed("sleep").empty(); }));
  ExpectNothingLeft();
}

TEST_F(NetworkFault, FailedDelFailsTheStopUntilItWorks) {
  UsePlugin("DEL", "echo '{\"cniVersion\":\"1.0.0\",\"code\":100,\"msg\":\"cannot let go\"}'; exit 1");
  std::string pod = RunPod(Pod());
  ASSERT_FALSE(pod.empty());
  auto stopped = cri().StopPod(pod);
  EXPECT_FALSE(stopped.ok());
  EXPECT_THAT(stopped.message(), HasSubstr("cannot let go"));
  Restart();
  RepairPlugin();
  EXPECT_CALL_OK(cri().StopPod(pod));
  EXPECT_CALL_OK(cri().RemovePod(pod));
  ExpectNothingLeft();
}

TEST_F(NetworkFault, AnAddThatOutlivesTheDaemonIsUndoneAfterItsEnd) {
  const std::string log = (daemon().plugin_folder() / "log").native();
  UsePlugin("ADD", Cat("echo begun >>", log, "; sleep 2; echo ended >>", log));
  const auto lines = [&] { return base::ReadFile(log).value_or(""); };
  std::jthread caller([&] { (void)cri().RunPod(Pod(), "", std::chrono::seconds(10)); });
  EXPECT_TRUE(Eventually([&] { return lines() == "begun\n"; }));
  ASSERT_STATUS_OK(daemon().Kill());
  caller.join();
  ASSERT_STATUS_OK(base::WriteFile(daemon().plugin_folder() / "faulty",
                                   Cat("#!/bin/sh\ncat > /dev/null\necho $CNI_COMMAND >>", log,
                                       "\necho '{\"cniVersion\":\"1.0.0\",\"supportedVersions\":[\"1.0.0\"]}'\n"),
                                   0755));
  ASSERT_STATUS_OK(daemon().Start());
  Connect();
  EXPECT_TRUE(Eventually([&] { return lines().find("DEL") != std::string::npos; }));
  EXPECT_LT(lines().find("ended"), lines().find("DEL")) << lines();
  ExpectNothingLeft();
}

// The bridge plugin of CNI plugins 1.1 leaves its masquerade rules when it is told DEL without a namespace: no runtime
// can help that, so these pods have none.
class NetworkFaultNamespaceLost : public OnNode {
 protected:
  Daemon::Options DaemonOptions() override {
    auto options = OnNode::DaemonOptions();
    options.masquerade = false;
    return options;
  }
};

TEST_F(NetworkFaultNamespaceLost, StopWorksWhenTheNamespaceIsGone) {
  std::string pod = RunPod(Pod());
  auto names = base::ListFolder("/run/netns");
  ASSERT_TRUE(names);
  ASSERT_EQ(names->size(), 1u);
  Path pinned = Path("/run/netns") / names->front();
  ASSERT_EQ(::umount2(pinned.c_str(), MNT_DETACH), 0);
  std::filesystem::remove(pinned);
  EXPECT_CALL_OK(cri().StopPod(pod));
  EXPECT_CALL_OK(cri().RemovePod(pod));
}

TEST_F(NetworkFault, MissingConfigurationIsSaidAndItsArrivalIsSeen) {
  std::filesystem::remove(daemon().net_folder() / "10-e2e.conflist");
  std::string message;
  ASSERT_TRUE(Eventually([&] { return !NetworkReady(&message); }));
  EXPECT_THAT(message, HasSubstr("NetworkPluginNotReady"));
  EXPECT_FALSE(cri().RunPod(Pod()).ok());
  ExpectNothingLeft();
  std::filesystem::remove_all(daemon().net_folder());
  ASSERT_STATUS_OK(base::MakeDirs(daemon().net_folder()));
  ASSERT_STATUS_OK(base::WriteFile(daemon().net_folder() / "10-e2e.conflist", daemon().NetworkList(), 0644));
  EXPECT_TRUE(Eventually([&] { return NetworkReady(); }));
  EXPECT_FALSE(RunPod(Pod()).empty());
}

TEST_F(NetworkFault, MissingPluginIsNamed) {
  ASSERT_STATUS_OK(base::WriteFile(daemon().net_folder() / "00-missing.conflist",
                                   R"({"cniVersion":"1.0.0","name":"missing","plugins":[{"type":"no-such-plugin"}]})",
                                   0644));
  std::string message;
  EXPECT_TRUE(Eventually([&] {
    if (!NetworkReady(&message)) return message.find("no-such-plugin") != std::string::npos;
    auto run = cri().RunPod(Pod());
    return !run.ok() && run.message().find("no-such-plugin") != std::string::npos;
  })) << message;
}

TEST_F(NetworkFault, HostNetworkPodsRunWithoutANetwork) {
  std::filesystem::remove(daemon().net_folder() / "10-e2e.conflist");
  ASSERT_TRUE(Eventually([&] { return !NetworkReady(); }));
  auto config = Pod();
  config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(v1::NODE);
  EXPECT_FALSE(RunPod(config).empty());
}

class NetworkFaultOfManyPods : public NetworkFault {
 protected:
  Daemon::Options DaemonOptions() override { return OnNode::DaemonOptions(); }
};

TEST_F(NetworkFaultOfManyPods, PluginsThatHangKeepNobodyElseWaiting) {
  constexpr int kHanging = 34;  // more than there are threads for operations on containers
  const Path go = folder() / "go";
  UsePlugin("ADD", Cat("until [ -e ", go.string(), " ]; do sleep 0.2; done"));
  const auto on_host = [](auto& config) {
    config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(v1::NODE);
  };
  Made host = RunContainer({"sleep", "1000"}, [&](v1::PodSandboxConfig& pod, v1::ContainerConfig& container) {
    on_host(pod);
    on_host(container);
  });
  std::vector<v1::PodSandboxConfig> configs;
  for (int i = 0; i < kHanging; ++i) configs.push_back(Pod());
  std::atomic<int> answered = 0;
  std::vector<std::thread> callers;
  for (const auto& config : configs) {
    callers.emplace_back([&] {
      EXPECT_CALL_OK(cri().RunPod(config, {}, std::chrono::seconds(120)));
      ++answered;
    });
  }
  EXPECT_TRUE(Eventually([] { return ProcessesNamed("faulty").size() >= kHanging; }, std::chrono::seconds(60)));
  auto next_config = Container({"sleep", "1000"}, "next");
  on_host(next_config);
  auto next = cri().Create(host.pod, next_config, host.pod_config);
  EXPECT_CALL_OK(next);
  EXPECT_CALL_OK(cri().Start(next->container_id()));
  EXPECT_CALL_OK(cri().StopPod(host.pod));
  EXPECT_CALL_OK(cri().RemovePod(host.pod));
  EXPECT_EQ(answered, 0);
  ASSERT_STATUS_OK(base::WriteFile(go, ""));
  for (std::thread& caller : callers) caller.join();
}

}  // namespace
}  // namespace berth::e2e
