// Hooks that an administrator's files give to containers.
#include "base/strings.h"
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using base::Cat;
using testing::HasSubstr;

class Hooks : public OnRuntime {
 protected:
  Daemon::Options DaemonOptions() override {
    auto options = OnRuntime::DaemonOptions();
    options.settings["container.hooks_dirs"] = Cat("[", (folder() / "hooks.d").string(), "]");
    return options;
  }
  // A hook that keeps what the runtime tells it.
  void Write(const std::string& name, const std::string& when) {
    ASSERT_STATUS_OK(base::MakeDirs(folder() / "hooks.d"));
    ASSERT_STATUS_OK(base::WriteFile(folder() / "hooks.d" / (name + ".json"),
                                     Cat(R"({"version":"1.0.0","hook":{"path":"/bin/sh","args":["sh","-c","cat > )",
                                         Told(name).string(), R"("]},"when":)", when, R"(,"stages":["prestart"]})"),
                                     0644));
  }
  base::Path Told(const std::string& name) { return folder() / ("told-" + name); }
};
ON_EVERY_RUNTIME(Hooks);

TEST_P(Hooks, RunForTheContainersThatTheyAreFor) {
  Write("10-annotated", R"({"annotations":{"^example\\.org/hook$":"^yes$"}})");
  Write("20-other", R"({"commands":["^/bin/other$"]})");
  const Made made = RunContainer(Sh("exit 0"), [](v1::PodSandboxConfig& pod, v1::ContainerConfig&) {
    (*pod.mutable_annotations())["example.org/hook"] = "yes";
  });
  EXPECT_EQ(WaitExited(made.container).exit_code(), 0);
  EXPECT_THAT(base::ReadFile(Told("10-annotated")).value_or(""), HasSubstr(made.container));
  EXPECT_FALSE(base::Exists(Told("20-other")));
}

TEST_P(Hooks, BrokenFileFailsTheCreationByName) {
  ASSERT_STATUS_OK(base::MakeDirs(folder() / "hooks.d"));
  ASSERT_STATUS_OK(base::WriteFile(folder() / "hooks.d/10-broken.json", "{}", 0644));
  const auto pod_config = Pod();
  const auto created = cri().Create(RunPod(pod_config), OnNode::Container(Sh("true")), pod_config);
  EXPECT_FALSE(created.ok());
  EXPECT_THAT(created.message(), HasSubstr("10-broken.json"));
  EXPECT_THAT(cri().Containers()->containers(), testing::IsEmpty());
}

}  // namespace
}  // namespace berth::e2e
