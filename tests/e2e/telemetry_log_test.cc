// The daemon's own log: its levels, its two forms, and the ids that join a call to what was run for it.
#include <signal.h>

#include <grpcpp/generic/generic_stub.h>
#include <nlohmann/json.hpp>

#include "base/child.h"
#include "base/strings.h"
#include "cri-proto/berth.pb.h"
#include "tests/e2e/harness/fixture.h"
#include "tests/e2e/harness/paths.h"

namespace berth::e2e {
namespace {

using base::Cat;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> out;
  for (const std::string_view line : base::Split(text, '\n')) {
    if (!line.empty()) out.emplace_back(line);
  }
  return out;
}

// With an empty request, and left as soon as it is answered or has begun to: a stream may go on for ever.
void CallWithNothing(const std::shared_ptr<grpc::Channel>& channel, const std::string& method) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallLimit);
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareCall(&context, method, &queue);
  const auto wait = [&] {
    void* tag = nullptr;
    bool ok = false;
    ASSERT_TRUE(queue.Next(&tag, &ok));
  };
  call->StartCall(nullptr);
  wait();
  call->WriteLast(grpc::ByteBuffer(nullptr, 0), {}, nullptr);
  wait();
  call->ReadInitialMetadata(nullptr);
  wait();
  context.TryCancel();
  grpc::Status status;
  call->Finish(&status, nullptr);
  wait();
}

class TelemetryLog : public OnNode {
 protected:
  std::string Log() { return daemon().Log(1 << 20); }
  bool Logs(const std::string& text) {
    return Eventually([&] { return Log().find(text) != std::string::npos; });
  }
  base::RunResult LogLevel(const std::string& level) {
    base::RunOptions run{
        .spawn = {.program = BerthClient(),
                  .arguments = {"berth", "--socket", "unix://" + daemon().socket().native(), "log-level"},
                  .environment = {"PATH=/usr/bin"}}};
    if (!level.empty()) run.spawn.arguments.push_back(level);
    auto done = base::Run(std::move(run), base::Context().WithTimeout(std::chrono::seconds(30)));
    EXPECT_TRUE(done) << done.error().Text();
    return done.value_or(base::RunResult());
  }
  void Configure(const std::string& key, const std::string& value) {
    auto options = daemon().options();
    options.settings[key] = value;
    ASSERT_STATUS_OK(Daemon(options).WriteFiles());
  }
  void HangUp() { ASSERT_EQ(kill(daemon().pid(), SIGHUP), 0); }
};

TEST_F(TelemetryLog, LevelChangesWhileTheDaemonRuns) {
  EXPECT_EQ(LogLevel("").output, "info\n");
  ASSERT_CALL_OK(cri().Pods());
  EXPECT_THAT(Log(), Not(HasSubstr("call=ListPodSandbox")));
  EXPECT_EQ(LogLevel("debug").output, "debug\n");
  ASSERT_CALL_OK(cri().Pods());
  EXPECT_TRUE(Logs("call=ListPodSandbox"));
  const base::RunResult wrong = LogLevel("loud");
  EXPECT_EQ(wrong.exit.code, 125);
  EXPECT_THAT(wrong.errors, HasSubstr("debug, info, warning or error"));
  EXPECT_EQ(LogLevel("").output, "debug\n");
  EXPECT_EQ(LogLevel("error").output, "error\n");
}

TEST_F(TelemetryLog, HangUpReadsTheConfigurationAgain) {
  Configure("log.level", "debug");
  HangUp();
  EXPECT_TRUE(Logs("reload=done log.level=debug"));
  ASSERT_CALL_OK(cri().Pods());
  EXPECT_TRUE(Logs("call=ListPodSandbox"));
  // A file that is wrong changes nothing, and ends nothing.
  Configure("log.level", "loud");
  HangUp();
  EXPECT_TRUE(Logs("reload=failed"));
  EXPECT_THAT(Log(), HasSubstr("log.level: "));
  EXPECT_EQ(LogLevel("").output, "debug\n");
  Configure("log.level", "info");
  HangUp();
  EXPECT_TRUE(Logs("reload=done log.level=info"));
}

TEST_F(TelemetryLog, EveryCallHasItsLine) {
  ASSERT_EQ(LogLevel("debug").output, "debug\n");
  const auto channel = grpc::CreateChannel("unix://" + daemon().socket().native(), grpc::InsecureChannelCredentials());
  for (const google::protobuf::FileDescriptor* file :
       {v1::VersionRequest::descriptor()->file(), berth::v1::ListPullsRequest::descriptor()->file()}) {
    for (int i = 0; i < file->service_count(); ++i) {
      for (int j = 0; j < file->service(i)->method_count(); ++j) {
        const auto& method = *file->service(i)->method(j);
        CallWithNothing(channel, Cat("/", file->service(i)->full_name(), "/", method.name()));
        EXPECT_TRUE(Logs(Cat("call=", method.name(), " request="))) << method.full_name();
      }
    }
  }
  EXPECT_THAT(Log(), testing::ContainsRegex(" I call=GetContainerEvents [^\n]* code=CANCELLED"));
}

class TelemetryLogJson : public TelemetryLog {
 protected:
  Daemon::Options DaemonOptions() override {
    auto options = OnNode::DaemonOptions();
    options.settings["log.format"] = "json";
    options.settings["log.level"] = "debug";
    return options;
  }
};

TEST_F(TelemetryLogJson, EachLineIsAnObject) {
  Made made = RunContainer({"sleep", "1000"});
  EXPECT_FALSE(cri().Status("no \"such\\ one\n").ok());  // its id is told in the error, and so in the log
  ASSERT_TRUE(Logs("call=ContainerStatus"));
  bool told = false;
  for (const std::string& line : Lines(Log())) {
    const auto parsed = nlohmann::json::parse(line, nullptr, false);
    ASSERT_TRUE(parsed.is_object()) << line;
    ASSERT_TRUE(parsed.contains("time") && parsed.contains("level") && parsed.contains("thread")) << line;
    const std::string message = parsed.at("message");
    told = told || (message.starts_with("call=ContainerStatus") && message.find("code=NOT_FOUND") != std::string::npos);
  }
  EXPECT_TRUE(told);
}

// A plugin and a runtime that write down what they are called with.
class TelemetryLogRequest : public TelemetryLog {
 protected:
  std::string Handler() const override { return "scripted"; }
  void Prepare() override {
    ASSERT_STATUS_OK(daemon().WriteRuntime(
        "scripted", Cat("echo \"$BERTH_REQUEST_ID $*\" >> ", ran().native(), "\nexec $REAL \"$@\"")));
    ASSERT_STATUS_OK(
        base::WriteFile(daemon().plugin_folder() / "scribe",
                        Cat("#!/bin/sh\ncat > /dev/null\necho \"$BERTH_REQUEST_ID $CNI_COMMAND\" >> ", ran().native(),
                            "\necho '{\"cniVersion\":\"1.0.0\",\"supportedVersions\":[\"1.0.0\"]}'\n"),
                        0755));
    ASSERT_STATUS_OK(
        base::WriteFile(daemon().net_folder() / "10-e2e.conflist", daemon().NetworkList(R"({"type":"scribe"})"), 0644));
  }
  base::Path ran() const { return folder() / "ran"; }

  // Of the call's line in the log.
  std::string RequestOf(const std::string& call) {
    for (const std::string& line : Lines(Log())) {
      const size_t at = line.find(Cat("call=", call, " request="));
      if (at == std::string::npos) continue;
      const size_t begin = line.find("request=", at) + 8;
      return line.substr(begin, line.find(' ', begin) - begin);
    }
    ADD_FAILURE() << call << " is not in the log";
    return {};
  }
  std::vector<std::string> RanFor(const std::string& request) {
    std::vector<std::string> out;
    for (const std::string& line : Lines(base::ReadFile(ran()).value_or(""))) {
      if (line.starts_with(request + " ")) out.push_back(line);
    }
    return out;
  }
};

TEST_F(TelemetryLogRequest, IdsGoWithTheCallToPluginsAndRuntimes) {
  Made made = RunContainer({"sleep", "1000"});
  ASSERT_CALL_OK(cri().Stop(made.container, 0));
  ASSERT_CALL_OK(cri().Remove(made.container));
  ASSERT_CALL_OK(cri().StopPod(made.pod));
  EXPECT_THAT(RanFor(RequestOf("RunPodSandbox")), Contains(testing::EndsWith(" ADD")));
  EXPECT_THAT(RanFor(RequestOf("CreateContainer")), Contains(HasSubstr(" create ")));
  EXPECT_THAT(RanFor(RequestOf("StartContainer")), Contains(HasSubstr(" start ")));
  EXPECT_THAT(RanFor(RequestOf("RemoveContainer")), Contains(HasSubstr(" delete ")));
  EXPECT_THAT(RanFor(RequestOf("StopPodSandbox")), Contains(testing::EndsWith(" DEL")));
  // What no call asked for has no id.
  EXPECT_THAT(RanFor(""), Not(Contains(HasSubstr(" create "))));
}

}  // namespace
}  // namespace berth::e2e
