// GetContainerEvents, read by a client as a kubelet reads it; processes killed for want of memory.
#include <thread>

#include "base/guarded.h"
#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;
using Runtime = v1::RuntimeService::Stub;
using Type = v1::ContainerEventType;
constexpr Type kCreated = v1::CONTAINER_CREATED_EVENT;
constexpr Type kStarted = v1::CONTAINER_STARTED_EVENT;
constexpr Type kStopped = v1::CONTAINER_STOPPED_EVENT;
constexpr Type kDeleted = v1::CONTAINER_DELETED_EVENT;

// Listens from the moment it is made until its end.
class Listener {
 public:
  explicit Listener(const base::Path& socket)
      : stub_(v1::RuntimeService::NewStub(
            grpc::CreateChannel("unix://" + socket.native(), grpc::InsecureChannelCredentials()))) {
    context_.set_deadline(std::chrono::system_clock::now() + kCallLimit);
    reader_ = stub_->GetContainerEvents(&context_, {});
    reader_->WaitForInitialMetadata();
    thread_ = std::thread([this] {
      v1::ContainerEventResponse event;
      while (reader_->Read(&event)) events_.Lock()->push_back(event);
      const grpc::Status status = reader_->Finish();
      ended_.Lock()->emplace(status);
    });
  }
  ~Listener() {
    context_.TryCancel();
    thread_.join();
  }
  std::vector<v1::ContainerEventResponse> Events() {
    return events_.With([](const auto& all) { return all; });
  }
  std::vector<Type> TypesOf(const std::string& id) {
    std::vector<Type> out;
    for (const auto& event : Events()) {
      if (event.container_id() == id) out.push_back(event.container_event_type());
    }
    return out;
  }
  std::optional<grpc::Status> Ended() {
    return ended_.With([](const auto& status) { return status; });
  }

 private:
  std::unique_ptr<v1::RuntimeService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::ContainerEventResponse>> reader_;
  base::Guarded<std::vector<v1::ContainerEventResponse>> events_;
  base::Guarded<std::optional<grpc::Status>> ended_;
  std::thread thread_;
};

class Events : public OnRuntime {
 protected:
  const std::vector<Type> whole_life_ = {kCreated, kStarted, kStopped, kDeleted};
};
ON_EVERY_RUNTIME(Events);

TEST_P(Events, WholeLifeOfAPodIsTold) {
  Listener listener(daemon().socket());
  const Made made = RunContainer(Sh("exit 7"));
  WaitExited(made.container);
  ASSERT_CALL_OK(cri().Remove(made.container));
  ASSERT_CALL_OK(cri().StopPod(made.pod));
  ASSERT_CALL_OK(cri().RemovePod(made.pod));
  EXPECT_TRUE(Eventually([&] { return listener.Events().size() == 8; }));
  EXPECT_EQ(listener.TypesOf(made.pod), whole_life_);
  EXPECT_EQ(listener.TypesOf(made.container), whole_life_);
  int64_t last = 0;
  for (const auto& event : listener.Events()) {
    EXPECT_GE(event.created_at(), last);
    last = event.created_at();
    EXPECT_EQ(event.pod_sandbox_status().id(), made.pod);
    EXPECT_EQ(event.pod_sandbox_status().metadata().uid(), made.pod_config.metadata().uid());
    if (event.container_id() != made.container || event.container_event_type() != kStopped) continue;
    ASSERT_EQ(event.containers_statuses_size(), 1);
    EXPECT_EQ(event.containers_statuses(0).exit_code(), 7);
    EXPECT_EQ(event.containers_statuses(0).state(), v1::CONTAINER_EXITED);
  }
}

TEST_P(Events, StatusOfAPodCarriesItsContainersForAnEventedKubelet) {
  const Made made = RunContainer(Sh("sleep 1000"));
  const auto status = cri().PodStatus(made.pod);
  ASSERT_CALL_OK(status);
  EXPECT_GT(status->timestamp(), 0);
  ASSERT_EQ(status->containers_statuses_size(), 1);
  EXPECT_THAT(status->containers_statuses(0), SameMessage(cri().Status(made.container)->status()));
}

TEST_P(Events, ListenersAreToldOfTheDaemonsEnd) {
  Listener listener(daemon().socket());
  ASSERT_STATUS_OK(daemon().Stop());
  EXPECT_TRUE(Eventually([&] { return listener.Ended().has_value(); }));
  EXPECT_EQ(listener.Ended()->error_code(), grpc::StatusCode::UNAVAILABLE);
  StartAgain();
}

// A client that listens and does not read: its stream ends once its place is lost, and nothing else waits for it.
TEST_P(Events, SlowReaderIsDroppedWithAReason) {
  const auto stub = v1::RuntimeService::NewStub(
      grpc::CreateChannel("unix://" + daemon().socket().native(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallLimit);
  const auto reader = stub->GetContainerEvents(&context, {});
  reader->WaitForInitialMetadata();
  Made made = CreateContainer(Sh("sleep 1000"), [](v1::PodSandboxConfig& pod, v1::ContainerConfig& config) {
    // What is on its way fills the windows of the connection sooner.
    (*pod.mutable_annotations())["ballast"] = std::string(200'000, 'x');
    (*config.mutable_annotations())["ballast"] = std::string(200'000, 'x');
  });
  Listener other(daemon().socket());
  for (uint32_t attempt = 1; attempt <= 40; ++attempt) {
    made.config.mutable_metadata()->set_attempt(attempt);
    const auto created = cri().Create(made.pod, made.config, made.pod_config);
    ASSERT_CALL_OK(created);
    ASSERT_CALL_OK(cri().Remove(created->container_id()));
  }
  v1::ContainerEventResponse event;
  while (reader->Read(&event)) {
  }
  const grpc::Status ended = reader->Finish();
  EXPECT_EQ(ended.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << ended.error_message();
  EXPECT_THAT(ended.error_message(), HasSubstr("did not take"));
  EXPECT_TRUE(Eventually([&] { return other.Events().size() == 3 * 40; })) << "one that reads keeps its place";
}

TEST_P(Events, OutOfMemoryIsSeenAndReported) {
  Listener listener(daemon().socket());
  const Made made =
      RunContainer(Sh("x=y; while :; do x=$x$x; done"), [](v1::PodSandboxConfig&, v1::ContainerConfig& config) {
        config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(16 << 20);
      });
  const v1::ContainerStatus status = WaitExited(made.container);
  EXPECT_EQ(status.reason(), "OOMKilled");
  EXPECT_EQ(status.exit_code(), 137);
  EXPECT_TRUE(Eventually([&] { return listener.TypesOf(made.container).size() == 3; }));
  const auto last = listener.Events().back();
  ASSERT_EQ(last.containers_statuses_size(), 1);
  EXPECT_EQ(last.containers_statuses(0).reason(), "OOMKilled");
}

TEST_P(Events, OutOfMemoryOfAChildIsCountedWhileTheContainerRuns) {
  const Made made = RunContainer(Sh("sh -c 'x=y; while :; do x=$x$x; done'; sleep 1000"),
                                 [](v1::PodSandboxConfig&, v1::ContainerConfig& config) {
                                   config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(16 << 20);
                                 });
  uint64_t kills = 0;
  EXPECT_TRUE(Eventually([&] {
    const auto reply = cri().Call(&Runtime::ListPodSandboxMetrics, v1::ListPodSandboxMetricsRequest());
    EXPECT_CALL_OK(reply);
    for (const auto& pod : reply->pod_metrics()) {
      for (const auto& container : pod.container_metrics()) {
        for (const auto& metric : container.metrics()) {
          if (metric.name() == "container_oom_events_total") kills = metric.value().value();
        }
      }
    }
    return kills > 0;
  }));
  EXPECT_EQ(kills, 1u);
  EXPECT_EQ(cri().Status(made.container)->status().state(), v1::CONTAINER_RUNNING);
}

}  // namespace
}  // namespace berth::e2e
