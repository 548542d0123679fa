// When an operation was in which stage: the record behind its deadline message, its timeline, its metric and its trace.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/guarded.h"
#include "base/result.h"
#include "base/time.h"

namespace berth::state {

struct TimelineStep {
  std::string stage;                     // "cni bridge"
  int64_t started_at = 0;                // Unix nanoseconds
  std::chrono::nanoseconds duration{0};  // by the steady clock; up to now for the step that still runs
  bool operator==(const TimelineStep&) const = default;
};

// A copy of a timeline: a plain value, kept in records and shown to people.
struct TimelineSummary {
  int64_t started_at = 0;  // Unix nanoseconds
  std::chrono::nanoseconds duration{0};
  std::vector<TimelineStep> steps;
  bool operator==(const TimelineSummary&) const = default;
};

// {"startedAt": ns, "durationNanos": n, "steps": [{"stage", "startedAt", "durationNanos"}]}
nlohmann::json ToJson(const TimelineSummary& summary);
base::Result<TimelineSummary> TimelineFromJson(const nlohmann::json& value, std::string_view what);

// Thread-safe; never blocks for long. Keeps at most kMaxSteps steps: time spent later counts for the last one.
class Timeline {
 public:
  static constexpr size_t kMaxSteps = 100;

  Timeline();
  // Ends the step before and begins this one; the same stage again goes on with the step.
  void Enter(std::string_view stage);
  // Ends the last step. Later calls of Enter and Finish change nothing.
  void Finish();

  std::string stage() const;                 // the last one entered; "start" before the first
  std::chrono::nanoseconds elapsed() const;  // since the timeline was made, until Finish
  TimelineSummary Summary() const;

 private:
  struct Step {
    std::string stage;
    int64_t started_at;
    base::TimePoint begin;
    base::TimePoint end;  // TimePoint::max() while it runs
  };
  struct State {
    std::vector<Step> steps;
    std::string stage = "start";
    base::TimePoint end = base::TimePoint::max();
  };
  int64_t started_at_;
  base::TimePoint begin_;
  mutable base::Guarded<State> state_;
};

}  // namespace berth::state
