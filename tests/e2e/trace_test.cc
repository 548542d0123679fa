// Calls, operations and steps as spans at a collector of the test's own.
#include "base/strings.h"
#include "tests/e2e/harness/collector.h"
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::HasSubstr;

constexpr const char* kTrace = "0af7651916cd43dd8448eb211c80319c";
constexpr const char* kCaller = "b7ad6b7169203331";

class Trace : public OnNode {
 protected:
  Daemon::Options DaemonOptions() override {
    auto options = OnNode::DaemonOptions();
    auto collector = Collector::Start(Status());
    EXPECT_TRUE(collector) << collector.error().Text();
    if (collector) {
      collector_ = *std::move(collector);
      options.settings["tracing.endpoint"] = collector_->endpoint();
    }
    return options;
  }
  virtual int Status() const { return 200; }

  // Like a kubelet whose own tracing is on.
  grpc::Status RunPodTraced(const v1::PodSandboxConfig& config, const std::string& flags, std::string& pod) {
    const auto channel =
        grpc::CreateChannel("unix://" + daemon().socket().native(), grpc::InsecureChannelCredentials());
    const auto stub = v1::RuntimeService::NewStub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallLimit);
    context.AddMetadata("traceparent", base::Cat("00-", kTrace, "-", kCaller, "-", flags));
    v1::RunPodSandboxRequest request;
    *request.mutable_config() = config;
    v1::RunPodSandboxResponse reply;
    const grpc::Status status = stub->RunPodSandbox(&context, request, &reply);
    pod = reply.pod_sandbox_id();
    return status;
  }
  // The first span of that name, once it is there.
  json Wait(const std::string& name) {
    json out;
    EXPECT_TRUE(Eventually([&] {
      for (const json& span : collector_->spans()) {
        if (span.at("name") == name) return out = span, true;
      }
      return false;
    })) << name;
    return out;
  }
  std::vector<std::string> ChildrenOf(const std::string& id) {
    std::vector<std::string> out;
    for (const json& span : collector_->spans()) {
      if (span.value("parentSpanId", "") == id) out.push_back(span.at("name"));
    }
    return out;
  }

  std::unique_ptr<Collector> collector_;
};

TEST_F(Trace, CallsOperationsAndStepsAreInTheCallersTrace) {
  std::string pod;
  const grpc::Status status = RunPodTraced(Pod(), "01", pod);
  ASSERT_TRUE(status.ok()) << status.error_message();
  const json call = Wait("RunPodSandbox");
  EXPECT_EQ(call.at("traceId"), kTrace);
  EXPECT_EQ(call.at("parentSpanId"), kCaller);
  EXPECT_EQ(call.at("kind"), 2);
  const json operation = Wait("RunPodSandbox operation");
  EXPECT_EQ(operation.at("traceId"), kTrace);
  EXPECT_EQ(operation.at("parentSpanId"), call.at("spanId"));
  EXPECT_THAT(operation.dump(), HasSubstr(pod));
  const auto steps = ChildrenOf(operation.at("spanId"));
  EXPECT_THAT(steps, Contains("cni ADD bridge"));
  EXPECT_THAT(steps, Contains("namespaces"));
  for (const json& span : collector_->spans()) {
    EXPECT_LE(std::stoll(span.at("startTimeUnixNano").get<std::string>()),
              std::stoll(span.at("endTimeUnixNano").get<std::string>()))
        << span;
  }
  EXPECT_THAT(collector_->requests().front(), HasSubstr("POST /v1/traces "));
  EXPECT_THAT(collector_->requests().front(),
              HasSubstr("{\"key\":\"service.name\",\"value\":{\"stringValue\":\"berthd\"}}"));
}

TEST_F(Trace, PullsAreSpansOfTheCallThatBeganThem) {
  ExpectImagesToChange();
  ASSERT_CALL_OK(cri().RemoveImage(Image()));
  PullBusybox();
  const json operation = Wait("PullImage operation");
  const auto steps = ChildrenOf(operation.at("spanId"));
  EXPECT_THAT(steps, Contains("resolve"));
  EXPECT_THAT(steps, Contains(testing::StartsWith("fetch ")));
  EXPECT_THAT(ChildrenOf(operation.at("parentSpanId")), Contains("PullImage operation"));
}

TEST_F(Trace, CallersWhoDoNotRecordAreNotRecorded) {
  std::string pod;
  ASSERT_TRUE(RunPodTraced(Pod("silent"), "00", pod).ok());
  // What nobody asks for belongs to no trace but its own; what is asked all the time to none.
  ASSERT_CALL_OK(cri().Pods());
  ASSERT_CALL_OK(cri().StopPod(pod));
  const json stop = Wait("StopPodSandbox");
  EXPECT_FALSE(stop.contains("parentSpanId"));
  EXPECT_NE(stop.at("traceId"), kTrace);
  for (const json& span : collector_->spans()) {
    EXPECT_NE(span.at("traceId"), kTrace) << span;
    EXPECT_NE(span.at("name"), "ListPodSandbox");
  }
}

TEST_F(Trace, FailuresAreMarkedWhereTheyHappened) {
  const v1::PodSandboxConfig config = Pod();
  const std::string pod = RunPod(config);
  EXPECT_FALSE(cri().Create(pod, Container({"/no/such/program"}), config).ok());
  EXPECT_EQ(Wait("CreateContainer").at("status").at("code"), 2);
  EXPECT_EQ(Wait("CreateContainer operation").at("status").at("code"), 2);
  EXPECT_EQ(Wait("runtime create").at("status").at("code"), 2);
  EXPECT_FALSE(Wait("layers").contains("status"));
}

// Waits for nobody: neither calls nor the daemon's end.
class TraceRefused : public Trace {
 protected:
  int Status() const override { return 503; }
};

TEST_F(TraceRefused, CollectorThatRefusesStopsNothingAndIsCounted) {
  ASSERT_NE(RunPod(Pod()), "");
  ASSERT_TRUE(Eventually([&] { return !collector_->requests().empty(); }));
  ASSERT_STATUS_OK(daemon().Stop());
  StartAgain();
}

}  // namespace
}  // namespace berth::e2e
