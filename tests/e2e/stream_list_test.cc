// The streaming lists beside the unary ones, and what both tell of metrics.
#include <map>
#include <set>

#include "tests/e2e/harness/fixture.h"

namespace berth::e2e {
namespace {

class StreamList : public OnNode {
 protected:
  void SetUp() override {
    OnNode::SetUp();
    if (!daemon().running()) return;
    const auto channel =
        grpc::CreateChannel("unix://" + daemon().socket().native(), grpc::InsecureChannelCredentials());
    runtime_ = v1::RuntimeService::NewStub(channel);
    images_ = v1::ImageService::NewStub(channel);
  }
  void TearDown() override {
    runtime_.reset();
    images_.reset();
    OnNode::TearDown();
  }

  // All items of a stream, by what they say; and that it ends well.
  template <typename Stub, typename Request, typename Message, typename Items>
  std::vector<std::string> Stream(Stub& stub,
                                  std::unique_ptr<grpc::ClientReader<Message>> (Stub::*method)(grpc::ClientContext*,
                                                                                               const Request&),
                                  const Request& request, Items items) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallLimit);
    const auto reader = (stub.*method)(&context, request);
    std::vector<std::string> out;
    Message message;
    while (reader->Read(&message)) {
      EXPECT_GT(items(message).size(), 0) << "no message is empty";
      for (const auto& item : items(message)) out.push_back(item.SerializeAsString());
    }
    const grpc::Status status = reader->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return out;
  }
  template <typename Items>
  static std::vector<std::string> Texts(const Items& items) {
    std::vector<std::string> out;
    for (const auto& item : items) out.push_back(item.SerializeAsString());
    return out;
  }
  using Runtime = v1::RuntimeService::Stub;
  using ImageStub = v1::ImageService::Stub;
  // Of each item that has figures of the moment: which object it is of.
  template <typename Item>
  static std::string IdOf(const std::string& text) {
    Item item;
    item.ParseFromString(text);
    if constexpr (requires { item.attributes().id(); })
      return item.attributes().id();
    else
      return item.pod_sandbox_id();
  }
  template <typename Item>
  static std::vector<std::string> IdsOf(std::vector<std::string> texts) {
    for (std::string& text : texts) text = IdOf<Item>(text);
    return texts;
  }

  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<ImageStub> images_;
};

TEST_F(StreamList, EachHasWhatItsUnaryListHas) {
  std::vector<Made> made;
  for (int i = 0; i < 3; ++i) {
    made.push_back(RunContainer(Sh("sleep 1000"), [&](v1::PodSandboxConfig& pod, v1::ContainerConfig& config) {
      // Maps of one entry, as the order of more is not kept.
      for (auto* labels :
           {pod.mutable_labels(), config.mutable_labels(), pod.mutable_annotations(), config.mutable_annotations()}) {
        labels->clear();
        (*labels)["number"] = std::to_string(i);
      }
    }));
  }
  const auto stream_pods = [&](const v1::StreamPodSandboxesRequest& request) {
    return Stream(*runtime_, &Runtime::StreamPodSandboxes, request,
                  [](const auto& message) { return message.pod_sandboxes(); });
  };
  const auto stream_containers = [&](const v1::StreamContainersRequest& request) {
    return Stream(*runtime_, &Runtime::StreamContainers, request,
                  [](const auto& message) { return message.containers(); });
  };
  EXPECT_EQ(stream_pods({}), Texts(cri().Pods()->items()));
  EXPECT_EQ(stream_containers({}), Texts(cri().Containers()->containers()));
  EXPECT_EQ(Stream(*images_, &ImageStub::StreamImages, v1::StreamImagesRequest(),
                   [](const auto& message) { return message.images(); }),
            Texts(cri().Images()->images()));

  v1::StreamPodSandboxesRequest one_pod;
  one_pod.mutable_filter()->set_id(made[1].pod);
  EXPECT_EQ(stream_pods(one_pod), Texts(cri().Pods(one_pod.filter())->items()));
  EXPECT_EQ(stream_pods(one_pod).size(), 1u);
  v1::StreamContainersRequest nothing;
  nothing.mutable_filter()->set_id("nowhere");
  EXPECT_EQ(stream_containers(nothing), std::vector<std::string>()) << "an empty list ends without a message";

  const auto container_stats = Stream(*runtime_, &Runtime::StreamContainerStats, v1::StreamContainerStatsRequest(),
                                      [](const auto& message) { return message.container_stats(); });
  EXPECT_EQ(IdsOf<v1::ContainerStats>(container_stats),
            IdsOf<v1::ContainerStats>(
                Texts(cri().Call(&Runtime::ListContainerStats, v1::ListContainerStatsRequest())->stats())));
  EXPECT_EQ(container_stats.size(), 3u);
  const auto pod_stats = Stream(*runtime_, &Runtime::StreamPodSandboxStats, v1::StreamPodSandboxStatsRequest(),
                                [](const auto& message) { return message.pod_sandbox_stats(); });
  EXPECT_EQ(IdsOf<v1::PodSandboxStats>(pod_stats),
            IdsOf<v1::PodSandboxStats>(
                Texts(cri().Call(&Runtime::ListPodSandboxStats, v1::ListPodSandboxStatsRequest())->stats())));
  EXPECT_EQ(pod_stats.size(), 3u);
  const auto metrics = Stream(*runtime_, &Runtime::StreamPodSandboxMetrics, v1::StreamPodSandboxMetricsRequest(),
                              [](const auto& message) { return message.pod_sandbox_metrics(); });
  EXPECT_EQ(IdsOf<v1::PodSandboxMetrics>(metrics),
            IdsOf<v1::PodSandboxMetrics>(
                Texts(cri().Call(&Runtime::ListPodSandboxMetrics, v1::ListPodSandboxMetricsRequest())->pod_metrics())));
  EXPECT_EQ(metrics.size(), 3u);
}

TEST_F(StreamList, MetricsOfARealPodAreDescribedAndThere) {
  const Made made = RunContainer(Sh("echo x > /filled; sleep 1000"));
  const auto descriptors = cri().Call(&Runtime::ListMetricDescriptors, v1::ListMetricDescriptorsRequest());
  ASSERT_CALL_OK(descriptors);
  std::map<std::string, int> labels;
  for (const auto& one : descriptors->descriptors()) labels[one.name()] = one.label_keys_size();
  const auto reply = cri().Call(&Runtime::ListPodSandboxMetrics, v1::ListPodSandboxMetricsRequest());
  ASSERT_CALL_OK(reply);
  ASSERT_EQ(reply->pod_metrics_size(), 1);
  const auto& pod = reply->pod_metrics(0);
  EXPECT_EQ(pod.pod_sandbox_id(), made.pod);
  ASSERT_EQ(pod.container_metrics_size(), 1);
  std::map<std::string, v1::Metric> seen;
  const auto look = [&](const auto& metrics) {
    for (const v1::Metric& one : metrics) {
      ASSERT_TRUE(labels.contains(one.name())) << one.name();
      EXPECT_EQ(one.label_values_size(), labels[one.name()]) << one.name();
      seen[one.name()] = one;
    }
  };
  look(pod.metrics());
  look(pod.container_metrics(0).metrics());
  for (const char* name :
       {"container_cpu_usage_seconds_total", "container_memory_working_set_bytes", "container_fs_usage_bytes",
        "container_network_receive_bytes_total", "container_oom_events_total", "container_processes",
        "container_file_descriptors", "container_threads", "container_start_time_seconds", "container_spec_cpu_shares",
        "container_ulimits_soft", "container_memory_failures_total"}) {
    EXPECT_TRUE(seen.contains(name)) << name;
  }
  EXPECT_EQ(seen["container_processes"].value().value(), 1u);
  EXPECT_EQ(seen["container_network_receive_bytes_total"].label_values(4), "POD");
  EXPECT_EQ(seen["container_network_receive_bytes_total"].label_values(5), "eth0");
  EXPECT_EQ(seen["container_spec_cpu_shares"].value().value(), 2u);
}

class StreamListSmallMessages : public StreamList {
 protected:
  Daemon::Options DaemonOptions() override {
    auto options = OnNode::DaemonOptions();
    options.settings["grpc.max_message"] = "1MiB";
    return options;
  }
};

TEST_F(StreamListSmallMessages, ListThatIsTooLargeNamesTheStream) {
  constexpr uint32_t kContainers = 6;
  Made made = CreateContainer(Sh("sleep 1000"), [](v1::PodSandboxConfig&, v1::ContainerConfig& config) {
    (*config.mutable_annotations())["ballast"] = std::string(200'000, 'x');
  });
  for (uint32_t attempt = 1; attempt < kContainers; ++attempt) {
    made.config.mutable_metadata()->set_attempt(attempt);
    ASSERT_CALL_OK(cri().Create(made.pod, made.config, made.pod_config));
  }
  const auto list = cri().Containers();
  EXPECT_EQ(list.code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(list.message(), testing::HasSubstr("StreamContainers"));
  EXPECT_THAT(daemon().Log(1 << 20), testing::HasSubstr("code=RESOURCE_EXHAUSTED"));
  EXPECT_EQ(Stream(*runtime_, &Runtime::StreamContainers, v1::StreamContainersRequest(),
                   [](const auto& message) { return message.containers(); })
                .size(),
            kContainers);
}

}  // namespace
}  // namespace berth::e2e
