// Checkpoints by CRIU and containers made from them, where the runtime and the host can.
#include <sys/stat.h>
#include <unistd.h>

#include <regex>

#include "base/child.h"
#include "base/strings.h"
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using base::Cat;
using testing::HasSubstr;
using Stub = v1::RuntimeService::Stub;

constexpr auto kLimit =
    std::chrono::minutes(5);  // CRIU asks the kernel for all that it can do, and an emulated one takes its time

class Checkpoint : public OnNode {
 protected:
  std::string Handler() const override { return "runc"; }  // of Debian's runtimes the one that was built for CRIU
  void SetUp() override {
    const char* criu = "/usr/sbin/criu";
    if (::access(criu, X_OK) != 0) GTEST_SKIP() << "criu is not installed";
    const auto able =
        base::Run({.spawn = {.program = criu, .arguments = {"criu", "check"}}}, base::Context().WithTimeout(kLimit));
    if (!able || able->exit.code != 0) GTEST_SKIP() << "criu check: " << (able ? able->errors : able.error().Text());
    OnNode::SetUp();
  }
  Reply<v1::CheckpointContainerResponse> Write(const std::string& container) {
    v1::CheckpointContainerRequest request;
    request.set_container_id(container);
    request.set_location(archive().string());
    return cri().Call(&Stub::CheckpointContainer, request, kLimit);
  }
  std::string PidOf(const std::string& container) {
    v1::ContainerStatusRequest request;
    request.set_container_id(container);
    request.set_verbose(true);
    const auto reply = cri().Call(&Stub::ContainerStatus, request);
    EXPECT_CALL_OK(reply);
    std::smatch pid;
    const std::string info = reply->info().at("info");
    EXPECT_TRUE(std::regex_search(info, pid, std::regex("\"pid\":([0-9]+)"))) << info;
    return pid[1];
  }
  base::Path archive() const { return folder() / "checkpoint.tar"; }

  static constexpr const char* kCount =
      "echo made >/made; rm /etc/removed; n=0; while :; do n=$((n+1)); echo $n; sleep 0.2; done";
};

TEST_F(Checkpoint, ContainerRunsOnAndACopyGoesOnFromThere) {
  const Made made = RunContainer(Sh(Cat("touch /etc/removed; ", kCount)));
  ASSERT_TRUE(Eventually([&] { return LogText(made.log()).find("\n9\n") != std::string::npos; }, kLimit));
  ASSERT_CALL_OK(Write(made.container));
  struct stat info {};
  ASSERT_EQ(::stat(archive().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  const size_t before = LogText(made.log()).size();
  EXPECT_TRUE(Eventually([&] { return LogText(made.log()).size() > before; }, kLimit));
  EXPECT_CALL_OK(cri().Stop(made.container, 0));
  EXPECT_CALL_OK(cri().RemovePod(made.pod));

  auto pod_config = Pod("copy");
  auto config = OnNode::Container({}, "copy");
  config.mutable_image()->set_image(archive().string());
  const std::string pod = RunPod(pod_config);
  const auto created = cri().Create(pod, config, pod_config, kLimit);
  ASSERT_CALL_OK(created);
  const std::string copy = created->container_id();
  EXPECT_EQ(cri().Status(copy)->status().state(), v1::CONTAINER_CREATED);
  v1::StartContainerRequest start;
  start.set_container_id(copy);
  ASSERT_CALL_OK(cri().Call(&Stub::StartContainer, start, kLimit));
  EXPECT_EQ(cri().Status(copy)->status().state(), v1::CONTAINER_RUNNING);

  const base::Path log = base::Path(pod_config.log_directory()) / config.log_path();
  ASSERT_TRUE(Eventually([&] { return LogText(log).find('\n') != std::string::npos; }, kLimit));
  const auto first = base::ParseInt(LogText(log).substr(0, LogText(log).find('\n')));
  ASSERT_TRUE(first);
  EXPECT_GE(*first, 9);
  const auto files = cri().Exec(copy, Sh("cat /made; ls /etc/removed"), 120);
  ASSERT_CALL_OK(files);
  EXPECT_THAT(files->stdout(), HasSubstr("made\n"));
  EXPECT_THAT(files->stderr(), HasSubstr("No such file"));
  // Not where the first one was.
  EXPECT_THAT(base::ReadFile(Cat("/proc/", PidOf(copy), "/cgroup")).value_or(""), HasSubstr(copy));
  EXPECT_CALL_OK(cri().Stop(copy, 0));
  EXPECT_EQ(cri().Status(copy)->status().exit_code(), 137);
}

}  // namespace
}  // namespace berth::e2e
