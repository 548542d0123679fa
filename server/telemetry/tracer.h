// Calls, operations and their steps as spans, sent to a collector behind everybody's back.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/context.h"
#include "base/guarded.h"
#include "base/result.h"
#include "base/time.h"
#include "server/telemetry/metrics.h"
#include "server/telemetry/span.h"
#include "state/timelines.h"

namespace berth::telemetry {

// Thread-safe. Telling it something never waits for the collector: what the queue does not hold is dropped and counted.
//
// A call that comes with a trace context is recorded if that says so. One without begins a trace of its own, unless it
// is one of those that are asked all the time.
class Tracer {
 public:
  struct Options {
    std::string endpoint;  // "http://127.0.0.1:4318/v1/traces"
    std::vector<std::pair<std::string, std::string>> resource{};
    size_t queue = 8192;  // spans
    size_t batch = 512;
    std::chrono::milliseconds pause{1000};  // between two posts
    std::chrono::milliseconds post_limit{5000};
    int attempts = 3;
  };
  explicit Tracer(Options options);
  // What is queued is still sent, for a short time.
  ~Tracer();

  // `request` names the call in OperationEnded.
  void CallBegun(const std::string& request, bool quiet, const std::optional<TraceContext>& caller);
  void CallEnded(const std::string& request, std::string_view method, std::chrono::nanoseconds took,
                 const base::Error* error);
  void OperationEnded(const state::OperationRecord& record);

  std::vector<Figure> Figures() const;

 private:
  struct Call {
    TraceId trace{};
    SpanId span{};
    std::optional<SpanId> parent;
    int64_t started_at = 0;
  };
  // An operation may outlive the call that began it, so calls are known for a while after their end.
  struct Calls {
    std::map<std::string, Call> known;
    std::deque<std::string> order;
  };
  std::optional<Call> Find(const std::string& request);
  void Add(Span span);
  void Run();
  bool Post(const std::vector<Span>& batch, const base::Context& context);

  const Options options_;
  base::Guarded<Calls> calls_;
  std::atomic<uint64_t> sent_ = 0;
  std::atomic<uint64_t> dropped_ = 0;
  const base::Context life_ = base::Context::Make();  // ended when the destructor has waited enough
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable ended_;
  // Under the mutex:
  std::deque<Span> queue_;
  bool ending_ = false;
  bool done_ = false;
  std::thread thread_;
};

}  // namespace berth::telemetry
