#include "server/telemetry/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace berth::telemetry {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(Metrics, MethodsAppearWithTheirFirstCall) {
  const Metrics metrics({"Version", "Status"});
  EXPECT_THAT(metrics.Text({}), Not(HasSubstr("berth_rpc")));
  Metrics::Rpc* rpc = metrics.OfMethod("Status");
  ASSERT_NE(rpc, nullptr);
  EXPECT_EQ(metrics.OfMethod("Unknown"), nullptr);
  rpc->Begun();
  EXPECT_THAT(metrics.Text({}), HasSubstr("berth_rpc_in_flight{method=\"Status\"} 1\n"));
  rpc->Ended(milliseconds(30), nullptr);
  const base::Error error{.code = base::Code::kNotFound, .message = "x"};
  rpc->Begun();
  rpc->Ended(milliseconds(3), &error);
  const std::string text = metrics.Text({});
  EXPECT_THAT(text, HasSubstr("berth_rpc_in_flight{method=\"Status\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("berth_rpc_requests_total{code=\"OK\",method=\"Status\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("berth_rpc_requests_total{code=\"NOT_FOUND\",method=\"Status\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("berth_rpc_duration_seconds_bucket{method=\"Status\",le=\"0.005\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("berth_rpc_duration_seconds_count{method=\"Status\"} 2\n"));
  EXPECT_THAT(text, Not(HasSubstr("Version")));
}

TEST(Metrics, NamesFromOutsideAreBounded) {
  Metrics metrics({});
  for (int i = 0; i < 1000; ++i) metrics.PluginRan("plugin" + std::to_string(i), "ADD", milliseconds(1), false);
  const std::string text = metrics.Text({});
  EXPECT_LE(Count(text, "berth_cni_duration_seconds_count"), 201u);
  EXPECT_THAT(text, HasSubstr("berth_cni_duration_seconds_count{command=\"other\",plugin=\"other\"} 800\n"));
}

TEST(Metrics, TimelineBecomesStepsAndTheRuntimesCreate) {
  Metrics metrics({});
  state::OperationRecord record{
      .operation = "CreateContainer", .object = "a", .request = "", .code = "", .timeline = {}};
  record.timeline.steps = {
      {"layers", 0, milliseconds(500)}, {"runtime create", 0, milliseconds(20)}, {"record", 0, milliseconds(1)}};
  metrics.OperationEnded(record);
  record.timeline.steps.pop_back();
  record.code = "INTERNAL";
  metrics.OperationEnded(record);
  const std::string text = metrics.Text({});
  EXPECT_THAT(text, HasSubstr("berth_operations_total{code=\"INTERNAL\",operation=\"CreateContainer\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("berth_operation_steps_total{operation=\"CreateContainer\",step=\"layers\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("berth_operation_step_seconds_total{operation=\"CreateContainer\",step=\"layers\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("berth_oci_runtime_duration_seconds_count{operation=\"create\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("berth_oci_runtime_failures_total{operation=\"create\"} 1\n"));
}

TEST(Metrics, PullsTellWhatTheyBroughtAndWhyTheyFailed) {
  Metrics metrics({});
  metrics.PullEnded({.timeline = {.duration = milliseconds(700)},
                     .error = nullptr,
                     .bytes = 1000,
                     .layers_fetched = 2,
                     .layers_reused = 3});
  const base::Error error{.code = base::Code::kUnauthenticated, .message = "x"};
  metrics.PullEnded({.timeline = {.duration = milliseconds(10)}, .error = &error});
  const std::string text = metrics.Text({});
  EXPECT_THAT(text, HasSubstr("berth_image_pull_duration_seconds_count 2\n"));
  EXPECT_THAT(text, HasSubstr("berth_image_pull_bytes_total 1000\n"));
  EXPECT_THAT(text, HasSubstr("berth_image_layers_pulled_total 2\n"));
  EXPECT_THAT(text, HasSubstr("berth_image_layers_reused_total 3\n"));
  EXPECT_THAT(text, HasSubstr("berth_image_pull_failures_total{reason=\"UNAUTHENTICATED\"} 1\n"));
}

TEST(Metrics, WhatIsLookedAtStandsWithWhatIsCounted) {
  const Metrics metrics({});
  const std::string text =
      metrics.Text({{Figure::Kind::kGauge, "berth_pods", "Pods by state.", {{"state", "ready"}}, 2},
                    {Figure::Kind::kGauge, "berth_pods", "Pods by state.", {{"state", "not_ready"}}, 1},
                    {Figure::Kind::kCounter, "berth_x_total", "X.", {}, 7}});
  EXPECT_THAT(text, HasSubstr("# HELP berth_pods Pods by state.\n# TYPE berth_pods gauge\nberth_pods{state=\"ready\"} "
                              "2\nberth_pods{state=\"not_ready\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE berth_x_total counter\nberth_x_total 7\n"));
  EXPECT_EQ(Count(text, "# HELP berth_pods"), 1u);
}

TEST(Metrics, ManyThreadsCountEveryCall) {
  Metrics metrics({"Status"});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 1000; ++j) {
        Metrics::Rpc& rpc = *metrics.OfMethod("Status");
        rpc.Begun();
        rpc.Ended(milliseconds(1), nullptr);
        metrics.RuntimeRan("start", milliseconds(1), true);
      }
    });
  }
  std::string between = metrics.Text({});
  for (std::thread& thread : threads) thread.join();
  const std::string text = metrics.Text({});
  EXPECT_THAT(text, HasSubstr("berth_rpc_requests_total{code=\"OK\",method=\"Status\"} 4000\n"));
  EXPECT_THAT(text, HasSubstr("berth_oci_runtime_failures_total{operation=\"start\"} 4000\n"));
}

TEST(ProcessFigures, AreThoseOfThisProcess) {
  double memory = 0;
  double descriptors = 0;
  double start = 0;
  for (const Figure& figure : ProcessFigures()) {
    if (figure.name == "berth_process_resident_memory_bytes") memory = figure.value;
    if (figure.name == "berth_process_open_fds") descriptors = figure.value;
    if (figure.name == "berth_process_start_time_seconds") start = figure.value;
    EXPECT_FALSE(figure.help.empty()) << figure.name;
  }
  EXPECT_GT(memory, 1 << 20);
  EXPECT_GE(descriptors, 3);
  const double now = static_cast<double>(base::UnixNanos()) * 1e-9;
  EXPECT_GT(start, now - 3600);
  EXPECT_LE(start, now + 1);
}

}  // namespace
}  // namespace berth::telemetry
