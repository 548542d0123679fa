#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "server/telemetry/span.h"
#include "server/telemetry/tracer.h"

namespace berth::telemetry {
namespace {

using std::chrono::milliseconds;

TEST(TraceParent, IsReadAsTheStandardSays) {
  const auto context = ParseTraceParent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  ASSERT_TRUE(context);
  EXPECT_EQ(context->trace[0], 0x0a);
  EXPECT_EQ(context->trace[15], 0x9c);
  EXPECT_EQ(context->span[0], 0xb7);
  EXPECT_EQ(context->span[7], 0x31);
  EXPECT_TRUE(context->sampled);
  EXPECT_FALSE(ParseTraceParent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-fe")->sampled);
  EXPECT_TRUE(ParseTraceParent("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-will-be-like"));
}

TEST(TraceParent, AnythingElseIsNone) {
  for (const char* text : {"", "00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
                           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
                           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
                           "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
                           "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                           "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                           "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
                           "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
                           "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                           "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01"}) {
    EXPECT_FALSE(ParseTraceParent(text)) << text;
  }
}

TEST(Spans, AreWrittenInOtlpsJsonForm) {
  Span span{.trace = {1, 2},
            .id = {3},
            .parent = SpanId{4},
            .name = "RunPodSandbox",
            .server = true,
            .started_at = 5,
            .duration = std::chrono::nanoseconds(7),
            .error = "INTERNAL",
            .attributes = {{"rpc.method", "RunPodSandbox"}}};
  const auto json = nlohmann::json::parse(EncodeSpans(std::vector{span}, {{"service.name", "berthd"}}));
  const auto& resource = json.at("resourceSpans").at(0);
  EXPECT_EQ(resource.at("resource").at("attributes").at(0).dump(),
            R"({"key":"service.name","value":{"stringValue":"berthd"}})");
  const auto& out = resource.at("scopeSpans").at(0).at("spans").at(0);
  EXPECT_EQ(out.at("traceId"), "01020000000000000000000000000000");
  EXPECT_EQ(out.at("spanId"), "0300000000000000");
  EXPECT_EQ(out.at("parentSpanId"), "0400000000000000");
  EXPECT_EQ(out.at("startTimeUnixNano"), "5");
  EXPECT_EQ(out.at("endTimeUnixNano"), "12");
  EXPECT_EQ(out.at("kind"), 2);
  EXPECT_EQ(out.at("status").at("code"), 2);
  span.parent.reset();
  span.error.clear();
  const auto plain = nlohmann::json::parse(EncodeSpans(std::vector{span}, {}));
  const auto& root = plain.at("resourceSpans").at(0).at("scopeSpans").at(0).at("spans").at(0);
  EXPECT_FALSE(root.contains("parentSpanId"));
  EXPECT_FALSE(root.contains("status"));
}

double Value(const Tracer& tracer, std::string_view name) {
  for (const Figure& figure : tracer.Figures()) {
    if (figure.name == name) return figure.value;
  }
  return -1;
}

// Nobody listens there.
Tracer::Options Unreachable() {
  return {.endpoint = "http://127.0.0.1:1/v1/traces",
          .resource = {},
          .queue = 4,
          .batch = 100,
          .pause = milliseconds(60'000),
          .attempts = 1};
}

TEST(Tracer, WhatTheQueueDoesNotHoldIsDroppedAndCounted) {
  Tracer tracer(Unreachable());
  for (int i = 0; i < 10; ++i) {
    const std::string request = std::to_string(i);
    tracer.CallBegun(request, false, std::nullopt);
    tracer.CallEnded(request, "RunPodSandbox", milliseconds(1), nullptr);
  }
  EXPECT_EQ(Value(tracer, "berth_trace_spans_dropped_total"), 6);
  EXPECT_EQ(Value(tracer, "berth_trace_spans_sent_total"), 0);
}

TEST(Tracer, CallsThatAreNotSampledCostNothing) {
  Tracer tracer(Unreachable());
  const auto unsampled = ParseTraceParent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
  for (int i = 0; i < 10; ++i) {
    tracer.CallBegun("a", false, unsampled);
    tracer.CallEnded("a", "RunPodSandbox", milliseconds(1), nullptr);
    tracer.CallBegun("b", true, std::nullopt);
    tracer.CallEnded("b", "ListPodSandbox", milliseconds(1), nullptr);
    tracer.OperationEnded({.operation = "RunPodSandbox", .object = "", .request = "a", .code = "", .timeline = {}});
  }
  EXPECT_EQ(Value(tracer, "berth_trace_spans_dropped_total"), 0);
}

TEST(Tracer, AnUnreachableCollectorHoldsNothingUp) {
  auto options = Unreachable();
  options.pause = milliseconds(1);
  Tracer tracer(options);
  tracer.CallBegun("a", false, std::nullopt);
  tracer.CallEnded("a", "RunPodSandbox", milliseconds(1), nullptr);
  const base::Context context = base::Context().WithTimeout(std::chrono::seconds(60));
  while (Value(tracer, "berth_trace_spans_dropped_total") < 1) {
    ASSERT_TRUE(context.Wait(-1, 0, "the drop", base::Monotonic::now() + milliseconds(2)));
  }
}

}  // namespace
}  // namespace berth::telemetry
