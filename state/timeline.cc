#include "state/timeline.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "json/json.h"

namespace berth::state {

using base::Monotonic;
using base::TimePoint;

Timeline::Timeline() : started_at_(base::UnixNanos()), begin_(Monotonic::now()) {}

void Timeline::Enter(std::string_view stage) {
  const int64_t wall = base::UnixNanos();
  const TimePoint now = Monotonic::now();
  auto state = state_.Lock();
  if (state->end != TimePoint::max() || (state->stage == stage && !state->steps.empty())) return;
  state->stage = stage;
  if (state->steps.size() == kMaxSteps) return;
  if (!state->steps.empty()) state->steps.back().end = now;
  state->steps.push_back({std::string(stage), wall, now, TimePoint::max()});
}

void Timeline::Finish() {
  const TimePoint now = Monotonic::now();
  auto state = state_.Lock();
  if (state->end != TimePoint::max()) return;
  state->end = now;
  if (!state->steps.empty()) state->steps.back().end = now;
}

std::string Timeline::stage() const {
  return state_.Lock()->stage;
}

std::chrono::nanoseconds Timeline::elapsed() const {
  const TimePoint now = Monotonic::now();
  return std::min(now, state_.Lock()->end) - begin_;
}

TimelineSummary Timeline::Summary() const {
  const TimePoint now = Monotonic::now();
  auto state = state_.Lock();
  TimelineSummary out{started_at_, std::min(now, state->end) - begin_, {}};
  out.steps.reserve(state->steps.size());
  for (const Step& step : state->steps) {
    out.steps.push_back({step.stage, step.started_at, std::min(now, step.end) - step.begin});
  }
  return out;
}

nlohmann::json ToJson(const TimelineSummary& summary) {
  nlohmann::json steps = nlohmann::json::array();
  for (const TimelineStep& step : summary.steps) {
    steps.push_back({{"stage", step.stage}, {"startedAt", step.started_at}, {"durationNanos", step.duration.count()}});
  }
  return {{"startedAt", summary.started_at}, {"durationNanos", summary.duration.count()}, {"steps", std::move(steps)}};
}

base::Result<TimelineSummary> TimelineFromJson(const nlohmann::json& value, std::string_view what) {
  TimelineSummary out;
  ASSIGN_OR_RETURN(const auto started_at, json::Int(value, "startedAt", what));
  ASSIGN_OR_RETURN(const auto duration, json::Int(value, "durationNanos", what));
  ASSIGN_OR_RETURN(const nlohmann::json* steps, json::Array(value, "steps", what));
  out.started_at = started_at.value_or(0);
  out.duration = std::chrono::nanoseconds(duration.value_or(0));
  if (steps == nullptr) return out;
  if (steps->size() > Timeline::kMaxSteps) {
    return base::Fail(base::Code::kInvalidArgument, what, ": more than ", Timeline::kMaxSteps, " steps");
  }
  for (const nlohmann::json& item : *steps) {
    TimelineStep step;
    ASSIGN_OR_RETURN(step.stage, json::String(item, "stage", what));
    ASSIGN_OR_RETURN(const auto step_start, json::Int(item, "startedAt", what));
    ASSIGN_OR_RETURN(const auto step_duration, json::Int(item, "durationNanos", what));
    step.started_at = step_start.value_or(0);
    step.duration = std::chrono::nanoseconds(step_duration.value_or(0));
    out.steps.push_back(std::move(step));
  }
  return out;
}

}  // namespace berth::state
