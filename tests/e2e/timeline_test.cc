// Which steps the start and stop of a pod and its containers took: in the verbose status and as a picture.
#include <nlohmann/json.hpp>

#include "base/child.h"
#include "base/strings.h"
#include "tests/e2e/harness/fixture.h"
#include "tests/e2e/harness/paths.h"

namespace berth::e2e {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class Timeline : public OnNode {
 protected:
  // Operations with their steps; checked: steps follow each other and lie within their operation.
  using Steps = std::vector<std::pair<std::string, std::vector<std::string>>>;

  Steps Read(const std::map<std::string, std::string>& info) {
    Steps out;
    const auto found = info.find("timeline");
    EXPECT_NE(found, info.end());
    if (found == info.end()) return out;
    const nlohmann::json list = nlohmann::json::parse(found->second);
    for (const auto& operation : list) {
      out.emplace_back(operation.at("operation").get<std::string>() + operation.value("code", ""),
                       std::vector<std::string>());
      if (operation.at("operation") == "Exit") continue;
      EXPECT_NE(operation.value("request", ""), "");
      int64_t sum = 0;
      int64_t last = operation.at("startedAt");
      for (const auto& step : operation.at("steps")) {
        EXPECT_GE(step.at("startedAt").get<int64_t>(), last) << list;
        last = step.at("startedAt");
        sum += step.at("durationNanos").get<int64_t>();
        out.back().second.push_back(step.at("stage"));
      }
      EXPECT_GT(sum, 0);
      EXPECT_LE(sum, operation.at("durationNanos").get<int64_t>()) << list;
    }
    return out;
  }
  Steps OfPod(const std::string& pod) {
    v1::PodSandboxStatusRequest request;
    request.set_pod_sandbox_id(pod);
    request.set_verbose(true);
    const auto reply = cri().Call(&v1::RuntimeService::Stub::PodSandboxStatus, request);
    EXPECT_CALL_OK(reply);
    return Read({reply->info().begin(), reply->info().end()});
  }
  Steps OfContainer(const std::string& container) {
    v1::ContainerStatusRequest request;
    request.set_container_id(container);
    request.set_verbose(true);
    const auto reply = cri().Call(&v1::RuntimeService::Stub::ContainerStatus, request);
    EXPECT_CALL_OK(reply);
    return Read({reply->info().begin(), reply->info().end()});
  }
  std::string Picture(std::vector<std::string> arguments) {
    base::RunOptions run{.spawn = {.program = BerthClient(),
                                   .arguments = {"berth", "--socket", "unix://" + daemon().socket().native()},
                                   .environment = {"PATH=/usr/bin"}}};
    run.spawn.arguments.insert(run.spawn.arguments.end(), arguments.begin(), arguments.end());
    const auto done = base::Run(std::move(run), base::Context().WithTimeout(std::chrono::seconds(30)));
    EXPECT_TRUE(done) << done.error().Text();
    if (!done) return {};
    EXPECT_EQ(done->exit.code, 0) << done->errors;
    return done->output;
  }
};

TEST_F(Timeline, EveryStepOfStartAndStopIsKeptOverARestart) {
  const Made made = RunContainer({"sleep", "1000"});
  ASSERT_CALL_OK(cri().Stop(made.container, 0));
  ASSERT_CALL_OK(cri().StopPod(made.pod));

  const auto all_of_pod = [&] {
    const Steps pod = OfPod(made.pod);
    ASSERT_EQ(pod.size(), 2u);
    EXPECT_EQ(pod[0].first, "RunPodSandbox");
    EXPECT_THAT(pod[0].second, ElementsAre("files", "cgroup", "namespaces", "network", "cni ADD bridge",
                                           "cni ADD portmap", "record", "publish"));
    EXPECT_EQ(pod[1].first, "StopPodSandbox");
    EXPECT_THAT(pod[1].second, ElementsAre("stop containers", "cni DEL portmap", "cni DEL bridge", "undo mount",
                                           "undo namespace", "record"));
  };
  all_of_pod();
  // The answer of StopContainer comes with the exit, the record of it behind.
  ASSERT_TRUE(Eventually([&] { return OfContainer(made.container).size() == 4; }));
  const Steps container = OfContainer(made.container);
  EXPECT_EQ(container[0].first, "CreateContainer");
  EXPECT_THAT(container[0].second, ElementsAre("resolve image", "layers", "mount root", "user and folders",
                                               "config.json", "monitor cgroup", "runtime create", "record", "publish"));
  EXPECT_EQ(container[1].first, "StartContainer");
  EXPECT_THAT(container[1].second, ElementsAre("runtime start", "record"));
  EXPECT_EQ(container[2].first, "ExitError");
  EXPECT_EQ(container[3].first, "StopContainer");
  EXPECT_THAT(container[3].second, ElementsAre("kill"));

  Restart();
  all_of_pod();
  EXPECT_EQ(OfContainer(made.container).size(), 4u);

  ASSERT_CALL_OK(cri().RemovePod(made.pod));
  EXPECT_THAT(base::ListFolder(daemon().options().run_root / "timelines").value(), testing::IsEmpty());
}

TEST_F(Timeline, ClientDrawsAPodAndItsContainers) {
  const Made made = RunContainer({"sleep", "1000"});
  const std::string picture = Picture({"timeline", made.pod_config.metadata().name()});
  for (const char* part :
       {"RunPodSandbox  ", "  cni ADD bridge ", "CreateContainer  ", "  runtime create ", "StartContainer  ", "#|"}) {
    EXPECT_THAT(picture, HasSubstr(part));
  }
  EXPECT_THAT(picture, testing::StartsWith("pod "));
  EXPECT_THAT(picture, HasSubstr("container " + made.config.metadata().name() + " " + made.container.substr(0, 13)));
  const nlohmann::json all = nlohmann::json::parse(Picture({"-o", "json", "timeline", made.pod}));
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].at("pod"), made.pod);
  EXPECT_EQ(all[1].at("container"), made.container);
  EXPECT_TRUE(all[2].contains("image"));
  EXPECT_EQ(all[1].at("timeline").at(1).at("operation"), "StartContainer");
}

// A pull's layers come side by side, so their steps overlap those of the pull itself.
TEST_F(Timeline, PullAndItsLayersAreKeptWithTheImage) {
  ExpectImagesToChange();
  const auto status = [&] {
    v1::ImageStatusRequest request;
    request.mutable_image()->set_image(Image());
    request.set_verbose(true);
    return cri().Call(&v1::ImageService::Stub::ImageStatus, request);
  };
  ASSERT_CALL_OK(cri().RemoveImage(Image()));
  PullBusybox();
  const nlohmann::json pulls = nlohmann::json::parse(status()->info().at("timeline"));
  ASSERT_EQ(pulls.size(), 1U) << "with an image its pulls are forgotten";
  EXPECT_EQ(pulls[0].at("operation"), "PullImage");
  EXPECT_NE(pulls[0].value("request", ""), "");
  std::vector<std::string> stages;
  for (const auto& step : pulls[0].at("steps")) {
    stages.push_back(step.at("stage"));
    EXPECT_GE(step.at("startedAt").get<int64_t>(), pulls[0].at("startedAt").get<int64_t>());
  }
  EXPECT_THAT(stages, testing::IsSupersetOf({"resolve", "config", "layers", "commit"}));
  EXPECT_THAT(stages, Contains(testing::MatchesRegex("fetch [0-9a-f]+")));
  EXPECT_THAT(stages, Contains(testing::MatchesRegex("commit [0-9a-f]+")));

  Restart();
  PullBusybox();
  EXPECT_EQ(nlohmann::json::parse(status()->info().at("timeline")).size(), 2U);
  const Made made = RunContainer({"sleep", "1000"});
  const std::string picture = Picture({"timeline", made.pod});
  EXPECT_THAT(picture, HasSubstr("image "));
  EXPECT_THAT(picture, HasSubstr("PullImage  "));
}

// A stop that fails is told of, and so is the one that then succeeds.
TEST_F(Timeline, FailedStopSaysWhichPluginFailed) {
  const base::Path broken = folder() / "broken";
  ASSERT_STATUS_OK(
      base::WriteFile(daemon().plugin_folder() / "fickle",
                      base::Cat("#!/bin/sh\ncat > /dev/null\n[ $CNI_COMMAND != DEL ] || ! [ -e ", broken.native(),
                                " ] || exit 1\necho '{\"cniVersion\":\"1.0.0\",\"supportedVersions\":[\"1.0.0\"]}'\n"),
                      0755));
  ASSERT_STATUS_OK(
      base::WriteFile(daemon().net_folder() / "10-e2e.conflist", daemon().NetworkList(R"({"type":"fickle"})"), 0644));
  Restart();
  ASSERT_STATUS_OK(base::WriteFile(broken, ""));
  const std::string pod = RunPod(Pod());
  ASSERT_NE(pod, "");
  EXPECT_FALSE(cri().StopPod(pod).ok());
  ASSERT_STATUS_OK(base::RemoveFile(broken));
  ASSERT_CALL_OK(cri().StopPod(pod));
  const Steps steps = OfPod(pod);
  ASSERT_EQ(steps.size(), 3u);
  EXPECT_THAT(steps[1].first, "StopPodSandboxINTERNAL");
  EXPECT_THAT(steps[1].second, Contains("cni DEL fickle"));
  EXPECT_THAT(steps[1].second, Not(Contains("record")));
  EXPECT_THAT(steps[2].first, "StopPodSandbox");
  EXPECT_THAT(steps[2].second, Contains("cni DEL fickle"));
}

}  // namespace
}  // namespace berth::e2e
