#include "server/telemetry/tracer.h"

#include <pthread.h>
#include <signal.h>

#include "image/http.h"

namespace berth::telemetry {
namespace {

constexpr size_t kMaxCalls = 1024;
constexpr auto kFarewell = std::chrono::milliseconds(500);

bool IsWorthAnotherTry(int status) {
  return status == 429 || status == 502 || status == 503 || status == 504;
}

}  // namespace

Tracer::Tracer(Options options) : options_(std::move(options)) {
  // Signals belong to the daemon's other threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "tracer");
    Run();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Tracer::~Tracer() {
  {
    std::unique_lock lock(mutex_);
    ending_ = true;
    wake_.notify_all();
    ended_.wait_for(lock, 2 * kFarewell, [&] { return done_; });
  }
  life_.Cancel();
  thread_.join();
}

void Tracer::CallBegun(const std::string& request, bool quiet, const std::optional<TraceContext>& caller) {
  if (caller ? !caller->sampled : quiet) return;
  Call call{.trace = caller ? caller->trace : RandomTraceId(),
            .span = RandomSpanId(),
            .parent = {},
            .started_at = base::UnixNanos()};
  if (caller) call.parent = caller->span;
  auto calls = calls_.Lock();
  if (!calls->known.emplace(request, call).second) return;
  calls->order.push_back(request);
  if (calls->order.size() <= kMaxCalls) return;
  calls->known.erase(calls->order.front());
  calls->order.pop_front();
}

std::optional<Tracer::Call> Tracer::Find(const std::string& request) {
  auto calls = calls_.Lock();
  const auto found = calls->known.find(request);
  return found == calls->known.end() ? std::nullopt : std::optional(found->second);
}

void Tracer::CallEnded(const std::string& request, std::string_view method, std::chrono::nanoseconds took,
                       const base::Error* error) {
  const auto call = Find(request);
  if (!call) return;
  Add({.trace = call->trace,
       .id = call->span,
       .parent = call->parent,
       .name = std::string(method),
       .server = true,
       .started_at = call->started_at,
       .duration = took,
       .error = error == nullptr ? "" : std::string(base::CodeName(error->code)),
       .attributes = {{"rpc.system", "grpc"}, {"rpc.method", std::string(method)}, {"berth.request", request}}});
}

void Tracer::OperationEnded(const state::OperationRecord& record) {
  const auto call = Find(record.request);
  if (!call) return;
  Span operation{.trace = call->trace,
                 .id = RandomSpanId(),
                 .parent = call->span,
                 .name = record.operation + " operation",
                 .started_at = record.timeline.started_at,
                 .duration = record.timeline.duration,
                 .error = record.code,
                 .attributes = {}};
  if (!record.object.empty()) operation.attributes.emplace_back("berth.object", record.object);
  for (const state::TimelineStep& step : record.timeline.steps) {
    const bool failed = !record.code.empty() && &step == &record.timeline.steps.back();
    Add({.trace = call->trace,
         .id = RandomSpanId(),
         .parent = operation.id,
         .name = step.stage,
         .started_at = step.started_at,
         .duration = step.duration,
         .error = failed ? record.code : "",
         .attributes = {}});
  }
  Add(std::move(operation));
}

void Tracer::Add(Span span) {
  const std::lock_guard lock(mutex_);
  if (queue_.size() >= options_.queue) {
    ++dropped_;
    return;
  }
  queue_.push_back(std::move(span));
  if (queue_.size() == 1) wake_.notify_one();
}

void Tracer::Run() {
  std::unique_lock lock(mutex_);
  while (!ending_ || !queue_.empty()) {
    wake_.wait(lock, [&] { return ending_ || !queue_.empty(); });
    // More comes soon, and one post carries it all.
    wake_.wait_for(lock, options_.pause, [&] { return ending_ || queue_.size() >= options_.batch; });
    std::vector<Span> batch;
    while (!queue_.empty() && batch.size() < options_.batch) {
      batch.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    if (batch.empty()) continue;
    const bool last = ending_;
    lock.unlock();
    const bool taken = Post(batch, life_.WithTimeout(last ? kFarewell : options_.post_limit));
    lock.lock();
    (taken ? sent_ : dropped_) += batch.size();
    if (last && !taken) break;
  }
  dropped_ += queue_.size();
  queue_.clear();
  done_ = true;
  ended_.notify_all();
}

bool Tracer::Post(const std::vector<Span>& batch, const base::Context& context) {
  // A client of one post: a collector that was restarted is connected to anew.
  image::HttpClient client({.connect_timeout = options_.post_limit, .stall_window = options_.post_limit});
  image::HttpRequest request{
      .method = "POST", .url = options_.endpoint, .headers = {{"Content-Type", "application/json"}}};
  request.body = EncodeSpans(batch, options_.resource);
  request.insecure = true;  // the endpoint's scheme is the administrator's choice
  for (int attempt = 1;; ++attempt) {
    const auto answer = client.Do(request, context);
    if (answer && answer->status / 100 == 2) return true;
    if ((answer && !IsWorthAnotherTry(answer->status)) || attempt >= options_.attempts) return false;
    if (!context.Wait(-1, 0, "the collector", base::Monotonic::now() + options_.pause)) return false;
  }
}

std::vector<Figure> Tracer::Figures() const {
  using Kind = Figure::Kind;
  return {{Kind::kCounter,
           "berth_trace_spans_sent_total",
           "Spans that the collector took.",
           {},
           static_cast<double>(sent_)},
          {Kind::kCounter,
           "berth_trace_spans_dropped_total",
           "Spans that were not sent: the queue was full, or the collector did not take them.",
           {},
           static_cast<double>(dropped_)}};
}

}  // namespace berth::telemetry
