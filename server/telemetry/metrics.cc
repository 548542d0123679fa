#include "server/telemetry/metrics.h"

#include <array>
#include <sstream>

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "base/guarded.h"

namespace berth::telemetry {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Labels;

const Histogram::BucketBoundaries kCallSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                                  0.5,   1,      2.5,   5,    10,    30,   120};
const Histogram::BucketBoundaries kChildSeconds = {0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60};
const Histogram::BucketBoundaries kPullSeconds = {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1200};

// Of names that come from outside: more than any real node has.
constexpr size_t kMaxSeries = 200;
constexpr size_t kCodes = static_cast<size_t>(base::Code::kUnknown) + 1;

double Seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

// The series of one family by their labels, remembered so that counting makes no labels anew.
template <typename Metric, typename... Arguments>
class Many {
 public:
  Many(Family<Metric>& family, std::vector<std::string> names, Arguments... arguments)
      : family_(family), names_(std::move(names)), arguments_(std::move(arguments)...) {}

  Metric& Of(std::vector<std::string> values) {
    auto series = series_.Lock();
    if (const auto found = series->find(values); found != series->end()) return *found->second;
    if (series->size() >= kMaxSeries) values.assign(names_.size(), "other");
    Labels labels;
    for (size_t i = 0; i < names_.size(); ++i) labels[names_[i]] = values[i];
    Metric& made =
        std::apply([&](const auto&... arguments) -> Metric& { return family_.Add(labels, arguments...); }, arguments_);
    (*series)[std::move(values)] = &made;
    return made;
  }

 private:
  Family<Metric>& family_;
  const std::vector<std::string> names_;
  const std::tuple<Arguments...> arguments_;
  base::Guarded<std::map<std::vector<std::string>, Metric*>> series_;
};
using Counters = Many<Counter>;
using Histograms = Many<Histogram, Histogram::BucketBoundaries>;

}  // namespace

// Pointers that stay null until the first event.
struct Metrics::Rpc::Series {
  std::string method;
  Family<Counter>* calls = nullptr;
  Family<Histogram>* durations = nullptr;
  Family<Gauge>* running = nullptr;
  std::array<std::atomic<Counter*>, kCodes + 1> by_code{};  // the last is success
  std::atomic<Histogram*> seconds = nullptr;
  std::atomic<Gauge*> in_flight = nullptr;

  // Two threads that both find it missing get the same series from the family.
  template <typename Metric, typename Make>
  static Metric& Lazily(std::atomic<Metric*>& place, Make make) {
    if (Metric* known = place.load(std::memory_order_acquire)) return *known;
    Metric& made = make();
    place.store(&made, std::memory_order_release);
    return made;
  }
  Gauge& InFlight() {
    return Lazily(in_flight, [&]() -> Gauge& { return running->Add({{"method", method}}); });
  }
};

void Metrics::Rpc::Begun() {
  series_->InFlight().Increment();
}

void Metrics::Rpc::Ended(std::optional<std::chrono::nanoseconds> took, const base::Error* error) {
  Series& series = *series_;
  series.InFlight().Decrement();
  if (took) {
    Series::Lazily(series.seconds, [&]() -> Histogram& {
      return series.durations->Add({{"method", series.method}}, kCallSeconds);
    }).Observe(Seconds(*took));
  }
  const size_t place = error == nullptr ? kCodes : static_cast<size_t>(error->code);
  Series::Lazily(series.by_code[place], [&]() -> Counter& {
    const std::string code(error == nullptr ? "OK" : base::CodeName(error->code));
    return series.calls->Add({{"method", series.method}, {"code", code}});
  }).Increment();
}

struct Metrics::State {
  prometheus::Registry registry;
  std::map<std::string, Rpc, std::less<>> methods;  // not changed once made: read without a lock

  Family<Counter>& CounterFamily(const std::string& name, const std::string& help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
  }
  Family<Histogram>& HistogramFamily(const std::string& name, const std::string& help) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
  }
  Counter& One(const std::string& name, const std::string& help) { return CounterFamily(name, help).Add({}); }

  Family<Counter>& calls = CounterFamily("berth_rpc_requests_total", "Calls answered, by their gRPC code.");
  Family<Histogram>& call_durations = HistogramFamily("berth_rpc_duration_seconds", "How long calls took.");
  Family<Gauge>& calls_running =
      prometheus::BuildGauge().Name("berth_rpc_in_flight").Help("Calls that are being answered.").Register(registry);

  Histogram& pull_seconds =
      HistogramFamily("berth_image_pull_duration_seconds", "How long pulls took, failed ones too.")
          .Add({}, kPullSeconds);
  Counters pull_failures{
      CounterFamily("berth_image_pull_failures_total", "Pulls that failed, by the code of their error."), {"reason"}};
  Counter& pull_bytes = One("berth_image_pull_bytes_total", "Bytes of layers transferred, as compressed.");
  Counter& layers_pulled = One("berth_image_layers_pulled_total", "Layers that a pull brought.");
  Counter& layers_reused = One("berth_image_layers_reused_total", "Layers of pulled images that were here already.");

  Histograms plugin_seconds{
      HistogramFamily("berth_cni_duration_seconds", "How long runs of CNI plugins took, failed ones too."),
      {"plugin", "command"},
      kChildSeconds};
  Counters plugin_failures{CounterFamily("berth_cni_failures_total", "Runs of CNI plugins that failed."),
                           {"plugin", "command"}};
  Histograms runtime_seconds{
      HistogramFamily("berth_oci_runtime_duration_seconds", "How long the OCI runtime took, failures too."),
      {"operation"},
      kChildSeconds};
  Counters runtime_failures{
      CounterFamily("berth_oci_runtime_failures_total", "Operations of the OCI runtime that failed."), {"operation"}};

  Counters operations{CounterFamily("berth_operations_total", "Operations on pods and containers that ended."),
                      {"operation", "code"}};
  Counters step_seconds{CounterFamily("berth_operation_step_seconds_total",
                                      "Time spent in each step of operations on pods and containers."),
                        {"operation", "step"}};
  Counters steps{CounterFamily("berth_operation_steps_total", "Steps of operations on pods and containers."),
                 {"operation", "step"}};

  Counters exits{CounterFamily("berth_container_exits_total", "Containers that ended, by the reason in their status."),
                 {"reason"}};
  Counter& ooms = One("berth_container_oom_kills_total",
                      "Containers that ended because the kernel killed in them for lack of memory.");
  Counter& monitor_deaths = One("berth_monitor_deaths_total", "Monitors that were lost, and with them an exit code.");
};

Metrics::Metrics(const std::vector<std::string>& methods) : state_(std::make_unique<State>()) {
  for (const std::string& method : methods) {
    Rpc& rpc = state_->methods[method];
    rpc.series_ = std::make_unique<Rpc::Series>();
    rpc.series_->method = method;
    rpc.series_->calls = &state_->calls;
    rpc.series_->durations = &state_->call_durations;
    rpc.series_->running = &state_->calls_running;
  }
}
Metrics::~Metrics() = default;

Metrics::Rpc* Metrics::OfMethod(std::string_view method) const {
  const auto found = state_->methods.find(method);
  return found == state_->methods.end() ? nullptr : &found->second;
}

void Metrics::PullEnded(const image::PullEnd& end) {
  State& state = *state_;
  state.pull_seconds.Observe(Seconds(end.timeline.duration));
  if (end.error != nullptr) state.pull_failures.Of({std::string(base::CodeName(end.error->code))}).Increment();
  state.pull_bytes.Increment(static_cast<double>(end.bytes));
  state.layers_pulled.Increment(static_cast<double>(end.layers_fetched));
  state.layers_reused.Increment(static_cast<double>(end.layers_reused));
}

void Metrics::PluginRan(std::string_view plugin, std::string_view command, std::chrono::nanoseconds took, bool failed) {
  std::vector<std::string> labels = {std::string(plugin), std::string(command)};
  state_->plugin_seconds.Of(labels).Observe(Seconds(took));
  if (failed) state_->plugin_failures.Of(std::move(labels)).Increment();
}

void Metrics::RuntimeRan(std::string_view operation, std::chrono::nanoseconds took, bool failed) {
  state_->runtime_seconds.Of({std::string(operation)}).Observe(Seconds(took));
  if (failed) state_->runtime_failures.Of({std::string(operation)}).Increment();
}

void Metrics::OperationEnded(const state::OperationRecord& record) {
  State& state = *state_;
  if (record.operation == "Exit") return ContainerExited(record.code);
  state.operations.Of({record.operation, record.code.empty() ? "OK" : record.code}).Increment();
  for (const state::TimelineStep& step : record.timeline.steps) {
    state.step_seconds.Of({record.operation, step.stage}).Increment(Seconds(step.duration));
    state.steps.Of({record.operation, step.stage}).Increment();
    // The monitor runs the runtime's create: this is what is seen of it here.
    const bool last = &step == &record.timeline.steps.back();
    if (step.stage == "runtime create") RuntimeRan("create", step.duration, last && !record.code.empty());
  }
}

void Metrics::ContainerExited(const std::string& reason) {
  state_->exits.Of({reason}).Increment();
  if (reason == "OOMKilled") state_->ooms.Increment();
  if (reason == "MonitorLost") state_->monitor_deaths.Increment();
}

std::string Metrics::Text(const std::vector<Figure>& now) const {
  std::vector<prometheus::MetricFamily> all = state_->registry.Collect();
  // A family that nothing has been counted in yet is a heading without lines.
  std::erase_if(all, [](const prometheus::MetricFamily& family) { return family.metric.empty(); });
  for (const Figure& figure : now) {
    if (all.empty() || all.back().name != figure.name) {
      const bool counter = figure.kind == Figure::Kind::kCounter;
      all.push_back(
          {figure.name, figure.help, counter ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge, {}});
    }
    prometheus::ClientMetric metric;
    for (const auto& [name, value] : figure.labels) metric.label.push_back({name, value});
    metric.counter.value = figure.value;
    metric.gauge.value = figure.value;
    all.back().metric.push_back(std::move(metric));
  }
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, all);
  return std::move(out).str();
}

}  // namespace berth::telemetry
