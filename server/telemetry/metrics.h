// The daemon's own figures, as Prometheus reads them. Names: docs/telemetry.md.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "image/pull.h"
#include "state/timelines.h"

namespace berth::telemetry {

// What is not counted as it happens but looked at when somebody asks.
struct Figure {
  enum class Kind { kGauge, kCounter } kind = Kind::kGauge;
  std::string name;
  std::string help;
  std::vector<std::pair<std::string, std::string>> labels;
  double value = 0;
};

// Thread-safe. A series is there from its first event on. Counting costs an atomic addition, or for times a lock of the
// series alone; what is labelled by names from outside (plugins, stages) also a look-up, and is bounded.
class Metrics {
 public:
  explicit Metrics(const std::vector<std::string>& methods);
  ~Metrics();

  // One method's.
  class Rpc {
   public:
    void Begun();
    // Without `took` it is counted and not timed.
    void Ended(std::optional<std::chrono::nanoseconds> took, const base::Error* error);

   private:
    friend class Metrics;
    struct Series;
    std::unique_ptr<Series> series_;
  };
  // nullptr for one that is not in `methods`. Valid while this is.
  Rpc* OfMethod(std::string_view method) const;

  void PullEnded(const image::PullEnd& end);
  void PluginRan(std::string_view plugin, std::string_view command, std::chrono::nanoseconds took, bool failed);
  void RuntimeRan(std::string_view operation, std::chrono::nanoseconds took, bool failed);
  void OperationEnded(const state::OperationRecord& record);

  // Everything in text format 0.0.4, `now` too.
  std::string Text(const std::vector<Figure>& now) const;

 private:
  struct State;
  void ContainerExited(const std::string& reason);

  std::unique_ptr<State> state_;
};

// Of this process: memory, descriptors, threads, CPU time. Reads /proc.
std::vector<Figure> ProcessFigures();

}  // namespace berth::telemetry
