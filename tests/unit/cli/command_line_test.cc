// Whole commands against a server in this process that answers with what the test prepared.
#include "cli/command_line.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/file.h"
#include "cri-proto/api.grpc.pb.h"

namespace berth::cli {
namespace {

namespace cri = ::runtime::v1;

class FakeRuntimeService : public cri::RuntimeService::Service {
 public:
  grpc::Status Version(grpc::ServerContext*, const cri::VersionRequest*, cri::VersionResponse* reply) override {
    reply->set_runtime_name("berth");
    reply->set_runtime_version("9.9.9");
    reply->set_runtime_api_version("v1");
    return grpc::Status::OK;
  }
  grpc::Status ListPodSandbox(grpc::ServerContext*, const cri::ListPodSandboxRequest*,
                              cri::ListPodSandboxResponse* reply) override {
    auto* pod = reply->add_items();
    pod->set_id("aa11");
    pod->mutable_metadata()->set_name("web");
    return grpc::Status::OK;
  }
  grpc::Status ListContainers(grpc::ServerContext*, const cri::ListContainersRequest*,
                              cri::ListContainersResponse* reply) override {
    auto* container = reply->add_containers();
    container->set_id("cc11");
    container->set_pod_sandbox_id("aa11");
    container->mutable_metadata()->set_name("web");
    container->set_state(cri::CONTAINER_RUNNING);
    return grpc::Status::OK;
  }
  grpc::Status ExecSync(grpc::ServerContext*, const cri::ExecSyncRequest* request,
                        cri::ExecSyncResponse* reply) override {
    exec = *request;
    reply->set_stdout("out\n");
    reply->set_exit_code(7);
    return exec_status;
  }

  grpc::Status Exec(grpc::ServerContext*, const cri::ExecRequest* request, cri::ExecResponse* reply) override {
    stream = *request;
    reply->set_url("gopher://nowhere");
    return grpc::Status::OK;
  }

  cri::ExecSyncRequest exec;
  cri::ExecRequest stream;
  grpc::Status exec_status;
};

class CommandLineTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/berth-cli-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix://" + (folder_ / "socket").string(), grpc::InsecureServerCredentials());
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }
  void TearDown() override {
    server_->Shutdown();
    EXPECT_TRUE(base::RemoveTree(folder_));
  }
  int Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--socket", (folder_ / "socket").string()});
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const int code = RunCommandLine(arguments, base::Context::Make("test"));
    output_ = testing::internal::GetCapturedStdout();
    errors_ = testing::internal::GetCapturedStderr();
    return code;
  }
  std::vector<std::string> ExecCommand() const { return {service_.exec.cmd().begin(), service_.exec.cmd().end()}; }

  base::Path folder_;
  FakeRuntimeService service_;
  std::unique_ptr<grpc::Server> server_;
  std::string output_, errors_;
};

TEST_F(CommandLineTest, ExitCodeAndOutputAreTheCommandsOwn) {
  EXPECT_EQ(Run({"exec", "web", "true"}), 7);
  EXPECT_EQ(output_, "out\n");
  EXPECT_EQ(service_.exec.container_id(), "cc11");
  EXPECT_EQ(service_.exec.timeout(), 0);
}

TEST_F(CommandLineTest, OptionsOfTheCommandAreNotOurs) {
  EXPECT_EQ(Run({"exec", "web", "ls", "-o", "--timeout", "--help", "-t", "--", "x"}), 7);
  EXPECT_EQ(ExecCommand(), (std::vector<std::string>{"ls", "-o", "--timeout", "--help", "-t", "--", "x"}));
}

TEST_F(CommandLineTest, DashesBetweenContainerAndCommandAreLeftOut) {
  EXPECT_EQ(Run({"exec", "web", "--", "ls", "-l"}), 7);
  EXPECT_EQ(ExecCommand(), (std::vector<std::string>{"ls", "-l"}));
}

TEST_F(CommandLineTest, OurOptionsMayStandBehindTheCommandsName) {
  EXPECT_EQ(Run({"exec", "--timeout", "5", "web", "ls"}), 7);
  EXPECT_EQ(service_.exec.timeout(), 5);
}

TEST_F(CommandLineTest, CommandThatIsMissingIsOurFailure) {
  EXPECT_EQ(Run({"exec", "web"}), 125);
  EXPECT_NE(errors_.find("the command is missing"), std::string::npos) << errors_;
}

TEST_F(CommandLineTest, InteractiveExecAsksForTheStreamsItNeeds) {
  EXPECT_EQ(Run({"exec", "-it", "web", "sh"}), 125);  // the URL leads nowhere
  EXPECT_EQ(service_.stream.container_id(), "cc11");
  EXPECT_TRUE(service_.stream.tty() && service_.stream.stdin() && service_.stream.stdout());
  EXPECT_FALSE(service_.stream.stderr());
  EXPECT_EQ(Run({"exec", "-i", "web", "sh"}), 125);
  EXPECT_TRUE(service_.stream.stdin() && service_.stream.stdout() && service_.stream.stderr());
  EXPECT_FALSE(service_.stream.tty());
}

TEST_F(CommandLineTest, ErrorOfTheDaemonIsShown) {
  service_.exec_status = grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "container cc11 is not running");
  EXPECT_EQ(Run({"exec", "web", "ls"}), 125);
  EXPECT_EQ(errors_, "berth: exec in web: container cc11 is not running\n");
}

TEST_F(CommandLineTest, CallThatTheDaemonLacksIsOurFailure) {
  EXPECT_EQ(Run({"info"}), 125);
}

TEST_F(CommandLineTest, VersionShowsBothSides) {
  EXPECT_EQ(Run({"version"}), 0);
  EXPECT_NE(output_.find("berth 9.9.9"), std::string::npos) << output_;
}

TEST_F(CommandLineTest, JsonIsTheAnswerItself) {
  EXPECT_EQ(Run({"pods", "-o", "json"}), 0);
  EXPECT_NE(output_.find("\"id\": \"aa11\""), std::string::npos) << output_;
}

TEST_F(CommandLineTest, UnknownNameSaysWhereToLook) {
  EXPECT_EQ(Run({"stop", "nope"}), 125);
  EXPECT_NE(errors_.find("berth ps -a"), std::string::npos) << errors_;
}

TEST_F(CommandLineTest, RunningContainerIsRemovedByForceAlone) {
  EXPECT_EQ(Run({"rm", "web"}), 125);
  EXPECT_NE(errors_.find("berth rm -f"), std::string::npos) << errors_;
}

TEST_F(CommandLineTest, WrongOptionIsOurFailure) {
  EXPECT_EQ(Run({"ps", "--nope"}), 125);
  EXPECT_EQ(Run({"run", "--rm", "-d", "image"}), 125);
  EXPECT_EQ(Run({"run", "-p", "80", "image"}), 125);
}

TEST_F(CommandLineTest, DaemonThatIsDownIsSaid) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(RunCommandLine({"--socket", (folder_ / "none").string(), "pods"}, base::Context::Make("test")), 125);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("is berthd running"), std::string::npos);
}

TEST_F(CommandLineTest, CancelledContextEndsACall) {
  const base::Context context = base::Context::Make("test");
  context.Cancel();
  EXPECT_EQ(RunCommandLine({"--socket", (folder_ / "socket").string(), "pods"}, context), 125);
}

}  // namespace
}  // namespace berth::cli
